"""pass@k, maj@k and intervals against hand-computed numbers, enumeration and simulation."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hone.core.errors import HoneError
from hone.core.seeding import generator
from hone.evaluate.estimates import bootstrap_mean, maj_at_k, pass_at_k, share, t_mean, wilson


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3, abs=1e-15)
    assert pass_at_k(10, 3, 5) == pytest.approx(1 - 21 / 252, abs=1e-15)
    assert pass_at_k(10, 0, 5) == 0.0
    assert pass_at_k(10, 6, 5) == 1.0


def test_pass_at_k_is_the_binomial_formula() -> None:
    for n, c, k in itertools.product(range(1, 13), range(13), range(1, 13)):
        if c <= n and k <= n:
            exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
            assert pass_at_k(n, c, k) == pytest.approx(float(exact), abs=1e-14)


def test_pass_at_k_does_not_overflow_or_lose_digits() -> None:
    assert pass_at_k(100_000, 1, 1) == pytest.approx(1e-5, rel=1e-14)
    exact = 1 - Fraction(math.comb(4990, 1000), math.comb(5000, 1000))
    assert pass_at_k(5000, 10, 1000) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 2, 5), (4, 2, 0), (4, 5, 1), (4, -1, 1)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(HoneError):
        pass_at_k(n, c, k)


def _enumerated_vote(answers: list[str], correct: list[bool], k: int) -> float:
    """Every subset, counted one by one."""
    worth = {a: [g for b, g in zip(answers, correct, strict=True) if a == b] for a in answers}
    scores = []
    for subset in itertools.combinations(range(len(answers)), k):
        votes = Counter(answers[i] for i in subset if answers[i])
        most = max(votes.values(), default=0)
        winners = [a for a, v in votes.items() if v == most]
        scores.append(np.mean([np.mean(worth[a]) for a in winners]) if winners else 0.0)
    return float(np.mean(scores))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_maj_at_k_equals_enumeration(data: st.DataObject) -> None:
    pairs = data.draw(
        st.lists(st.tuples(st.sampled_from(["", "1", "2", "3", "4"]), st.booleans()), min_size=1, max_size=9)
    )
    answers, correct = [a for a, _ in pairs], [g for _, g in pairs]
    k = data.draw(st.integers(1, len(pairs)))
    assert maj_at_k(answers, correct, k) == pytest.approx(_enumerated_vote(answers, correct, k), abs=1e-12)


def test_maj_at_k_by_hand() -> None:
    answers, correct = ["7", "7", "3", ""], [True, True, False, False]
    assert maj_at_k(answers, correct, 4) == 1.0
    assert maj_at_k(answers, correct, 1) == pytest.approx(0.5)
    # pairs: {7,7} right, 2 x {7,3} a tie, 2 x {7,""} right, {3,""} wrong
    assert maj_at_k(answers, correct, 2) == pytest.approx((1 + 2 * 0.5 + 2) / 6)
    assert maj_at_k(["", ""], [False, False], 2) == 0.0


def test_wilson_by_hand() -> None:
    # p = 3/10, z = 1.959964: (0.3 + 0.192073 ± 0.342874) / 1.384146
    assert wilson(0.3, 10) == pytest.approx((0.107791, 0.603222), abs=1e-6)
    low, high = wilson(0.0, 20)
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high == pytest.approx(1.959964**2 / (20 + 1.959964**2), abs=1e-6)


def test_share_without_clusters_is_wilson() -> None:
    estimate = share([1.0] * 3 + [0.0] * 7)
    assert (estimate.low, estimate.high) == pytest.approx(wilson(0.3, 10))
    assert estimate.value == pytest.approx(0.3)
    assert estimate.count == 10


def test_copies_of_a_sample_add_no_certainty() -> None:
    once = share([1.0, 0.0, 0.0, 1.0, 0.0])
    copied = share([x for x in (1.0, 0.0, 0.0, 1.0, 0.0) for _ in range(4)], [q for q in range(5) for _ in range(4)])
    assert copied == once


def test_share_is_cautious_where_the_data_cannot_tell() -> None:
    right = share([1.0] * 32, [q for q in range(8) for _ in range(4)])
    assert (right.low, right.high) == pytest.approx(wilson(1.0, 8))
    lone = share([1.0, 0.0, 1.0, 0.0], [0, 0, 0, 0])
    assert (lone.low, lone.high) == pytest.approx(wilson(0.5, 1))
    assert math.isnan(share([]).value)


def test_clustered_interval_covers_the_truth() -> None:
    random, hits, rounds = generator("coverage"), 0, 400
    questions = [q for q in range(60) for _ in range(8)]
    for _ in range(rounds):
        ability = random.beta(0.5, 1.0, size=60)
        samples = (random.random((60, 8)) < ability[:, None]).astype(float).ravel().tolist()
        estimate = share(samples, questions)
        hits += estimate.low <= 1 / 3 <= estimate.high
    assert 0.92 <= hits / rounds <= 0.98


def test_bootstrap_is_keyed_and_clustered() -> None:
    values, clusters = (
        [float(q) for q in range(20) for _ in range(5)],
        [q for q in range(20) for _ in range(5)],
    )
    clustered, loose = bootstrap_mean(values, clusters), bootstrap_mean(values)
    assert clustered == bootstrap_mean(values, clusters)
    assert clustered != bootstrap_mean(values, clusters, key=("other",))
    assert clustered.value == 9.5
    # the standard error of 20 independent values 0..19 is 5.77/sqrt(20) = 1.29
    assert clustered.high - clustered.low == pytest.approx(2 * 1.96 * 1.29, rel=0.1)
    assert loose.high - loose.low == pytest.approx(2 * 1.96 * 1.29 / math.sqrt(5), rel=0.1)


def test_t_mean_by_hand() -> None:
    # s = 1, t_{2, 0.975} = 4.302653
    estimate = t_mean([1.0, 2.0, 3.0])
    assert (estimate.low, estimate.high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))
    assert t_mean([5.0]).plain() == {"value": 5.0, "low": None, "high": None, "count": 1}
