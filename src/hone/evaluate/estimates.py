"""Estimates with intervals: pass@k, majority votes, shares and means, clustered by question.

Several samples of one question are not independent: they share its difficulty. Every interval here therefore
treats the question (the *cluster*) as the unit that was drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from hone.core.errors import HoneError
from hone.core.seeding import generator

LEVEL = 0.95
"""Confidence level of every interval."""


@dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval, and how many independent units (questions, seeds) it rests on.

    Without any unit the three numbers are NaN.
    """

    value: float
    low: float
    high: float
    count: int

    def plain(self) -> dict[str, Any]:
        """For JSON, which has no NaN: such numbers become None."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}


NOTHING = Estimate(math.nan, math.nan, math.nan, 0)
"""The estimate of what was never observed."""


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased probability that at least one of k samples is right, from n samples of which c were.

    ``1 − C(n−c, k) / C(n, k) = 1 − Π_{i=n−c+1}^{n} (1 − k/i)``, and 1 where ``n − c < k`` (Chen et al. 2021,
    arXiv:2107.03374). Summed as ``log1p`` and returned through ``expm1``, so nothing overflows and small
    probabilities keep their digits. The plug-in ``1 − (1 − c/n)^k`` would be biased low.

    Raises:
        HoneError: not ``1 ≤ k ≤ n`` and ``0 ≤ c ≤ n``.
    """
    _check_k(k, n)
    if not 0 <= c <= n:
        raise HoneError("more right samples than samples", got=f"{c} of {n}", expected="0 ≤ c ≤ n")
    if n - c < k:
        return 1.0
    return -math.expm1(math.fsum(math.log1p(-k / i) for i in range(n - c + 1, n + 1)))


def best_at_k(scores: Sequence[float], values: Sequence[float], k: int) -> float:
    """Expected value of the sample with the highest score among k of the n, exactly, over all k-subsets.

    The i-th lowest score of n is the best of a random k-subset with probability ``C(i−1, k−1) / C(n, k)``. Samples of
    equal score share their places equally.

    Args:
        scores: [n], what the choice is made by (a reward model's score).
        values: [n], what the choice is worth (the same, or somebody else's judgement).
        k: size of the choice, at most n.

    Raises:
        HoneError: not ``1 ≤ k ≤ n``.
    """
    _check_k(k, len(scores))
    shared: dict[float, list[float]] = {}
    for score, value in zip(scores, values, strict=True):
        shared.setdefault(score, []).append(value)
    ordered = [math.fsum(shared[s]) / len(shared[s]) for s in sorted(shared) for _ in shared[s]]
    ways = (math.comb(i, k - 1) for i in range(len(ordered)))  # i samples are below the one in place i
    return math.fsum(w * v for w, v in zip(ways, ordered, strict=True)) / math.comb(len(ordered), k)


def maj_at_k(answers: Sequence[str], correct: Sequence[bool], k: int) -> float:
    """Expected correctness of the majority vote among k of the n samples, exactly, over all k-subsets.

    Equal strings are one candidate. The empty answer (none could be read) abstains; a vote in which all
    abstain is wrong. Tied candidates share the win equally, as if drawn by lot. A candidate whose samples
    were graded differently counts by the share of them that were correct.

    For each candidate a and number of votes j, the chance that a gets j and nobody gets more is read off the
    product of the other candidates' generating functions ``Σ_{i≤j} C(m_b, i) x^i y^{[i=j]}`` (x counts votes,
    y ties).

    Args:
        answers: [n], what each sample answered.
        correct: [n], whether that was right.
        k: size of the vote, at most n (and n at most about 1000: the counts are held as floats).

    Raises:
        HoneError: not ``1 ≤ k ≤ n``.
    """
    n = len(answers)
    _check_k(k, n)
    right: dict[str, list[bool]] = {}
    for answer, good in zip(answers, correct, strict=True):
        right.setdefault(answer, []).append(good)
    abstaining = len(right.pop("", []))
    total = 0.0
    for answer, grades in right.items():
        if any(grades):
            others = [len(other) for name, other in right.items() if name != answer]
            total += _win_probability(len(grades), others, abstaining, k) * sum(grades) / len(grades)
    return total


def _win_probability(own: int, others: Sequence[int], abstaining: int, k: int) -> float:
    """Chance that a candidate with ``own`` samples wins a random k-subset's vote; a tie: ``1/(1 + ties)``."""
    n = own + sum(others) + abstaining
    ways = 0.0
    for j in range(1, min(own, k) + 1):
        rest, most_ties = k - j, (k - j) // j
        table = np.zeros((rest + 1, most_ties + 1))  # [votes spent on others, candidates tied with us]
        table[0, 0] = 1.0
        for size in others:
            table = _convolve(table, size, j)
        spread = table @ (1.0 / (1.0 + np.arange(most_ties + 1)))
        free = [math.comb(abstaining, rest - votes) for votes in range(rest + 1)]
        ways += math.comb(own, j) * float(spread @ np.array(free, dtype=float))
    return ways / math.comb(n, k)


def _convolve(table: NDArray[np.float64], size: int, j: int) -> NDArray[np.float64]:
    """Let one more candidate of ``size`` samples take up to j votes; exactly j is a tie."""
    spent, ties = table.shape
    result = table.copy()
    for i in range(1, min(size, j, spent - 1) + 1):
        ways = math.comb(size, i)
        if i < j:
            result[i:] += ways * table[:-i]
        else:
            result[i:, 1:] += ways * table[: spent - i, : ties - 1]
    return result


def wilson(share: float, count: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion; ``count`` may be a fractional, effective number of samples.

    ``(p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)`` (Wilson 1927). Unlike ``p ± z·se`` it stays inside
    [0, 1] and has a width at 0 and 1.
    """
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    scale = 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def share(values: Sequence[float], clusters: Sequence[Hashable] | None = None, at_most: int | None = None) -> Estimate:
    """Mean of values in [0, 1] with Wilson's interval at the effective number of samples.

    With ``e_q = Σ_{i∈q} (x_i − p)`` the cluster-robust variance of the mean of N values is ``Σ_q e_q² / N²``;
    that of a proportion of n independent samples is ``p(1−p)/n``. Equating them gives ``n = N² p(1−p) / Σ_q
    e_q²``: exactly N for 0/1 values without clusters (plain Wilson), fewer where samples of a question agree.
    Where the data cannot tell (all 0, all 1, one cluster) n is the number of clusters, the cautious choice.

    Args:
        values: [N], each in [0, 1].
        clusters: [N], the question of each value; without it every value is its own.
        at_most: upper limit of n, by default N: the number of samples the values were made from.
    """
    if not values:
        return NOTHING
    totals = _totals(values, clusters)
    size, questions = len(values), len(totals)
    p = min(max(math.fsum(values) / size, 0.0), 1.0)
    spread = math.fsum((total - p * n) ** 2 for total, n in totals)
    if questions < 2 or p in (0.0, 1.0):
        effective = float(questions)
    else:
        limit = float(at_most or size)
        effective = min(size * size * p * (1 - p) / spread, limit) if spread > 0 else limit
    return Estimate(p, *wilson(p, effective), questions)


_BOOTSTRAP_DRAWS = 1 << 20
"""How many draws a bootstrap holds at once."""


def bootstrap_mean(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    key: Sequence[int | str] = ("bootstrap",),
    rounds: int = 1000,
) -> Estimate:
    """Mean with the percentile interval of a bootstrap that draws whole clusters with replacement (Efron
    1979).

    The draws are keyed by ``key``: the same data give the same interval.
    """
    if not values:
        return NOTHING
    summed, counted = np.array(_totals(values, clusters)).T
    random, size = generator(*key), len(summed)
    means = np.empty(rounds)
    at_once = max(_BOOTSTRAP_DRAWS // size, 1)
    for first in range(0, rounds, at_once):
        drawn = random.integers(size, size=(min(at_once, rounds - first), size))
        means[first : first + at_once] = summed[drawn].sum(axis=1) / counted[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(math.fsum(values) / len(values), float(low), float(high), size)


def t_mean(values: Sequence[float]) -> Estimate:
    """Mean of independent values with Student's interval ``x̄ ± t_{n−1} · s/√n``: for a handful of seeds.

    One value has no spread: its interval is NaN.
    """
    n = len(values)
    if n == 0:
        return NOTHING
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (n - 1))
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * deviation / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def _totals(values: Sequence[float], clusters: Sequence[Hashable] | None) -> list[tuple[float, int]]:
    """Sum and number of values of each cluster, in order of first appearance."""
    members: dict[Hashable, list[float]] = {}
    for name, value in zip(clusters if clusters is not None else range(len(values)), values, strict=True):
        members.setdefault(name, []).append(value)
    return [(math.fsum(found), len(found)) for found in members.values()]


def _check_k(k: int, n: int) -> None:
    if not 1 <= k <= n:
        raise HoneError("k is out of range", got=f"k = {k} with {n} samples", expected="1 ≤ k ≤ samples")
