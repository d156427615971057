"""Best-of-N: the exact expectation over subsets, and its KL against enumeration."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hone.core.errors import HoneError
from hone.core.types import Completion, Failed, Scored, Trajectory, Turn
from hone.evaluate.accuracy import evaluate
from hone.evaluate.estimates import best_at_k
from hone.functional.kl import best_of_n_kl


@given(
    samples=st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.5]), st.floats(-3, 3)), min_size=1, max_size=7),
    k=st.integers(1, 7),
)
def test_against_every_subset(samples: list[tuple[float, float]], k: int) -> None:
    if k > len(samples):
        return
    found = []
    for chosen in itertools.combinations(samples, k):
        best = max(score for score, _ in chosen)
        found.append(statistics.fmean(value for score, value in chosen if score == best))
    scores, values = [s for s, _ in samples], [v for _, v in samples]
    assert best_at_k(scores, values, k) == pytest.approx(statistics.fmean(found), abs=1e-9)


def test_a_choice_larger_than_the_samples_is_refused() -> None:
    with pytest.raises(HoneError):
        best_at_k([1.0], [1.0], 2)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_the_kl_is_that_of_many_different_answers_and_bounds_that_of_few(n: int) -> None:
    def exact(answers: int) -> float:
        """m equally likely answers of different scores: the i-th is chosen with probability (i/m)^n − ((i−1)/m)^n."""
        chosen = [(i / answers) ** n - ((i - 1) / answers) ** n for i in range(1, answers + 1)]
        return sum(p * math.log(p * answers) for p in chosen if p)

    assert exact(20000) == pytest.approx(best_of_n_kl(n), abs=2e-3)
    for answers in (1, 2, 5, 50):
        assert exact(answers) <= best_of_n_kl(n) + 1e-12


def test_in_an_evaluation() -> None:
    def sample(question: int, number: int, reward: float | None) -> Trajectory:
        outcome = Failed("broken", "exception") if reward is None else Scored(reward)
        turn = Turn((1,), Completion((2,), (-1.0,), "end"), "x", outcome)
        return Trajectory(question, question, number, (turn,))

    rewards: dict[int, list[float | None]] = {0: [0.0, 1.0, 4.0], 1: [2.0, None, 3.0], 2: [None, 9.0, None]}
    trajectories = [sample(q, i, r) for q, row in rewards.items() for i, r in enumerate(row)]
    found = evaluate(trajectories, ks=(1, 2))
    # pairs of question 0: 1, 4, 4; of question 1: 3; question 2 has one graded sample only
    assert found.best_at[2].value == pytest.approx((3 + 3) / 2)
    assert found.best_at[2].count == 2
    assert found.best_at[1].value == pytest.approx((5 / 3 + 2.5 + 9) / 3)
    assert found.plain()["best_at"]["2"]["kl_at_most"] == pytest.approx(math.log(2) - 0.5)
