"""Ratings of players from battles: Elo, Bradley-Terry by maximum likelihood, bootstrap intervals.

A battle is won (score 1), lost (0) or tied (½) by the first of two players. In the Bradley-Terry model a player
has a strength θ in nats and P(first wins) = σ(θ_first − θ_second); Elo says the same in points, base 10 and scale
400, so that 1 nat = 400/ln 10 = 173.7 points. A tie counts as half a win each way.

Letters: P players, N battles, R rounds (orders or bootstrap samples).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hone.core.errors import HoneError
from hone.core.seeding import generator

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ELO_PER_NAT = 400 / log(10)
"""Points of Elo in one nat of Bradley-Terry strength: 173.7."""
RIDGE = 0.01
"""Of Bradley-Terry fits: a pull towards the mean, weak beside a single battle, so that every strength is finite."""
START = 1000.0
"""Every player's rating before the first battle, and the mean of Bradley-Terry ratings."""


@dataclass(frozen=True, eq=False)
class Battles:
    """Who met whom, and how it ended, in order of time.

    Attributes:
        players: names.
        first_N: index of the first player.
        second_N: index of the second.
        score_N: 1, ½ or 0 for the first player.
        cluster_N: battles that are not independent (of one prompt) share a number; the bootstrap draws clusters.
    """

    players: tuple[str, ...]
    first_N: Ints
    second_N: Ints
    score_N: Floats
    cluster_N: Ints

    @classmethod
    def of(
        cls,
        battles: Iterable[tuple[str, str, float]],
        clusters: Sequence[Any] | None = None,
        players: Iterable[str] = (),
    ) -> Battles:
        """From (first, second, score) triples.

        Args:
            battles: in order of time.
            clusters: one per battle, hashable; each battle is its own if not given.
            players: names that exist even without a battle.

        Raises:
            HoneError: a player meets itself, a score outside [0, 1], or not one cluster per battle.
        """
        rows = list(battles)
        for first, second, score in rows:
            if first == second or not 0.0 <= score <= 1.0:
                raise HoneError(
                    "this is no battle",
                    got=f"{first!r} against {second!r}, score {score}",
                    expected="two players and a score in [0, 1]",
                )
        if clusters is not None and len(clusters) != len(rows):
            raise HoneError("not one cluster per battle", got=f"{len(clusters)} for {len(rows)} battles")
        names = sorted({*players, *(row[0] for row in rows), *(row[1] for row in rows)})
        index = {name: i for i, name in enumerate(names)}
        groups = clusters if clusters is not None else range(len(rows))
        number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
        return cls(
            tuple(names),
            np.array([index[row[0]] for row in rows], dtype=np.int64),
            np.array([index[row[1]] for row in rows], dtype=np.int64),
            np.array([row[2] for row in rows], dtype=np.float64),
            np.array([number[group] for group in groups], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.score_N)


@dataclass(frozen=True, eq=False)
class Interval:
    """A rating per player and the ends of its 95 % bootstrap interval (percentiles), each [P].

    The ends are NaN where the draws say nothing: a player and those it is connected with met in one cluster only, or
    all draws give the same rating (somebody won every time, say). That is ignorance, not certainty.
    """

    value_P: Floats
    low_P: Floats
    high_P: Floats


def elo(battles: Battles, k: float = 4.0) -> Floats:
    """Online Elo in the order given: after each battle ``R_A += k (S_A − E_A)``, the other player the opposite.

    ``E_A = 1 / (1 + 10^((R_B − R_A) / 400))``, all players start at 1000. It depends on the order.

    Returns:
        [P], points.
    """
    rating_P: Floats = _elo_rounds(battles, np.arange(len(battles))[None], k)[0]
    return rating_P


def average_elo(battles: Battles, k: float = 4.0, rounds: int = 100, seed: int = 0) -> Floats:
    """Elo averaged over random orders of the same battles: [P], points; no battle counts more for being late."""
    order_RN = np.stack([generator(seed, "elo order", r).permutation(len(battles)) for r in range(rounds)])
    result: Floats = _elo_rounds(battles, order_RN, k).mean(0)
    return result


def bootstrap_elo(battles: Battles, k: float = 4.0, rounds: int = 100, seed: int = 0) -> Interval:
    """Order-averaged Elo and its interval: each round draws clusters with replacement and orders them at random.

    A round's deviation holds the noise of its own order too, so the interval is a little too wide, never too narrow.
    """
    drawn = []
    for r, weight_N in enumerate(_resamples(battles, rounds, seed)):
        index_N = np.repeat(np.arange(len(battles)), weight_N.astype(np.int64))
        drawn.append(generator(seed, "elo bootstrap", r).permutation(index_N))
    longest = max((len(index_N) for index_N in drawn), default=0)
    order_RN = np.stack([np.pad(index_N, (0, longest - len(index_N)), constant_values=-1) for index_N in drawn])
    return _interval(battles, average_elo(battles, k, rounds, seed), _elo_rounds(battles, order_RN, k))


def bradley_terry(battles: Battles, ridge: float = RIDGE, weight_N: Floats | None = None) -> Floats:
    """Strengths θ in nats, mean 0, that maximise ``Σ w [s log σ(Δ) + (1−s) log σ(−Δ)] − ½ ridge Σ θ²``.

    Δ = θ_first − θ_second. The ridge (a normal prior of variance 1/ridge) keeps the strength of a player who won or
    lost every battle finite; 0 is plain maximum likelihood. Newton's method with backtracking (the objective is
    concave) to a gradient below 1e-9 per battle.

    Args:
        battles: of any number of players.
        ridge: at least 0.
        weight_N: of each battle; 1 if not given.

    Returns:
        [P], nats.

    Raises:
        HoneError: ``ridge`` is 0 and there is no maximum (Ford 1957): some players never lost or tied a battle
            against the others, or were never compared with them.
    """
    count = len(battles.players)
    weight_N = np.ones(len(battles)) if weight_N is None else weight_N
    if ridge < 0:
        raise HoneError("a ridge is at least 0", got=str(ridge))
    if ridge == 0:
        _require_maximum(battles, weight_N)
    # Battles of the same two players are one term: totals of wins are all the likelihood needs.
    low_N, high_N = np.minimum(battles.first_N, battles.second_N), np.maximum(battles.first_N, battles.second_N)
    pair_M, which_N = np.unique(low_N * count + high_N, return_inverse=True)
    won_N = np.where(battles.first_N == low_N, battles.score_N, 1 - battles.score_N)
    games_M = np.bincount(which_N, weight_N, len(pair_M))
    wins_M = np.bincount(which_N, weight_N * won_N, len(pair_M))
    first_M, second_M = pair_M // max(count, 1), pair_M % max(count, 1)

    def objective(theta_P: Floats) -> float:
        delta_M = theta_P[first_M] - theta_P[second_M]
        fit_M = wins_M * -np.logaddexp(0, -delta_M) + (games_M - wins_M) * -np.logaddexp(0, delta_M)
        return float(fit_M.sum() - 0.5 * ridge * (theta_P**2).sum())

    theta_P = np.zeros(count)
    for _ in range(200):
        p_M = 1 / (1 + np.exp(-(theta_P[first_M] - theta_P[second_M])))
        pull_M = wins_M - games_M * p_M
        gradient_P = np.bincount(first_M, pull_M, count) - np.bincount(second_M, pull_M, count) - ridge * theta_P
        if np.abs(gradient_P).max(initial=0.0) <= 1e-9 * max(games_M.sum(), 1.0):
            break
        curve_M = games_M * p_M * (1 - p_M)
        # 1/P fills the direction in which all strengths move together, where the likelihood is flat.
        hessian_PP = np.full((count, count), 1 / count) + (ridge + 1e-12) * np.eye(count)
        np.add.at(hessian_PP, (first_M, first_M), curve_M)
        np.add.at(hessian_PP, (second_M, second_M), curve_M)
        np.add.at(hessian_PP, (first_M, second_M), -curve_M)
        np.add.at(hessian_PP, (second_M, first_M), -curve_M)
        step_P = np.linalg.solve(hessian_PP, gradient_P)
        scale, before = 1.0, objective(theta_P)
        while objective(theta_P + scale * step_P) < before and scale > 1e-8:
            scale /= 2
        theta_P = theta_P + scale * step_P
    centred: Floats = theta_P - theta_P.mean() if count else theta_P
    return centred


def bootstrap_bradley_terry(battles: Battles, ridge: float = RIDGE, rounds: int = 100, seed: int = 0) -> Interval:
    """Strengths in nats and their 95 % intervals over ``rounds`` draws of clusters with replacement."""
    value_P = bradley_terry(battles, ridge)
    samples = [bradley_terry(battles, max(ridge, 1e-6), w_N) for w_N in _resamples(battles, rounds, seed)]
    return _interval(battles, value_P, np.stack(samples) if samples else value_P[None])


def to_elo(nats: Floats) -> Floats:
    """Strengths in nats as points: ``1000 + 400/ln 10 · θ``."""
    return START + ELO_PER_NAT * nats


def win_matrix(battles: Battles) -> tuple[Floats, Floats]:
    """Wins of row against column (a tie is half a win), and battles between them: two [P, P]."""
    count = len(battles.players)
    wins_PP, games_PP = np.zeros((count, count)), np.zeros((count, count))
    np.add.at(wins_PP, (battles.first_N, battles.second_N), battles.score_N)
    np.add.at(wins_PP, (battles.second_N, battles.first_N), 1 - battles.score_N)
    np.add.at(games_PP, (battles.first_N, battles.second_N), 1.0)
    np.add.at(games_PP, (battles.second_N, battles.first_N), 1.0)
    return wins_PP, games_PP


def _elo_rounds(battles: Battles, index_RN: Ints, k: float) -> Floats:
    """All rounds side by side: the loop is over time, and each step updates every round at once; −1 is no battle."""
    rating_RP = np.full((len(index_RN), len(battles.players)), START)
    rows = np.arange(len(index_RN))
    for index_R in index_RN.T:
        first_R, second_R = battles.first_N[index_R], battles.second_N[index_R]
        gap_R = rating_RP[rows, second_R] - rating_RP[rows, first_R]
        move_R = np.where(index_R < 0, 0.0, k) * (battles.score_N[index_R] - 1 / (1 + 10 ** (gap_R / 400)))
        rating_RP[rows, first_R] += move_R
        rating_RP[rows, second_R] -= move_R
    return rating_RP


def _resamples(battles: Battles, rounds: int, seed: int) -> list[Floats]:
    """How often each battle was drawn, for every round; a cluster is drawn whole."""
    count = int(battles.cluster_N.max(initial=-1)) + 1
    if count == 0:
        return [np.zeros(0) for _ in range(rounds)]
    draws = (generator(seed, "bootstrap", r).multinomial(count, np.full(count, 1 / count)) for r in range(rounds))
    return [drawn[battles.cluster_N].astype(np.float64) for drawn in draws]


def _interval(battles: Battles, value_P: Floats, samples_RP: Floats) -> Interval:
    if not value_P.size:
        return Interval(value_P, value_P, value_P)
    low_P, high_P = np.percentile(samples_RP, (2.5, 97.5), axis=0)
    group_P = connected(battles)
    pairs = np.unique(np.stack([group_P[battles.first_N], battles.cluster_N]), axis=1)
    clusters_G = np.bincount(pairs[0], minlength=len(group_P))
    known_P = (np.ptp(samples_RP, axis=0) > 1e-9) & (clusters_G[group_P] > 1)
    return Interval(value_P, np.where(known_P, low_P, np.nan), np.where(known_P, high_P, np.nan))


def connected(battles: Battles) -> Ints:
    """[P] number of the group each player is in: whoever met, directly or by way of others, is in one group.

    Ratings of different groups have no common scale: nothing was ever compared between them.
    """
    everyone_N = np.ones(len(battles), dtype=bool)
    return _groups(battles, everyone_N, everyone_N, "weak")


def _require_maximum(battles: Battles, weight_N: Floats) -> None:
    # An edge says "took something from": maximum likelihood exists iff every player reaches every other.
    gave_N, took_N = (weight_N > 0) & (battles.score_N < 1), (weight_N > 0) & (battles.score_N > 0)
    if _groups(battles, took_N, gave_N, "strong").max(initial=0) > 0:
        raise HoneError(
            "no strengths maximise the likelihood: some players never lost or tied against the others, or never met",
            do="give a ridge above 0, or more battles",
        )


def _groups(battles: Battles, there_N: NDArray[np.bool_], back_N: NDArray[np.bool_], kind: str) -> Ints:
    """[P] connected components of the players, with an edge from the first to the second and one back where said."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows = np.concatenate([battles.first_N[there_N], battles.second_N[back_N]])
    columns = np.concatenate([battles.second_N[there_N], battles.first_N[back_N]])
    count = len(battles.players)
    if not count:
        return np.zeros(0, dtype=np.int64)
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    number_P: Ints = connected_components(graph, directed=True, connection=kind)[1].astype(np.int64)
    return number_P
