"""Agreement with people, by hand and against a slow count."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Rating, Text
from hone.evaluate.preferences import calibration, calibration_error, judge, judge_thumbs


def by_table(table: dict[str, float]):  # type: ignore[no-untyped-def]
    calls: list[int] = []

    def scorer(prompts: Sequence[Text], answers: Sequence[Text]) -> list[float]:
        calls.append(len(answers))
        return [table[str(a)] for a in answers]

    scorer.calls = calls  # type: ignore[attr-defined]
    return scorer


def compare(prompt: str, chosen: str, rejected: str, tie: bool = False) -> Comparison:
    return Comparison(prompt, Answer(chosen), Answer(rejected), tie=tie)


def test_judged_by_hand() -> None:
    scorer = by_table({"aa": 2.0, "b": 0.0, "cccc": 1.0, "d": 0.0})
    found = judge(
        scorer,
        [compare("p", "aa", "b"), compare("p", "b", "cccc"), compare("q", "b", "d"), compare("q", "aa", "b", tie=True)],
    )
    assert (found.comparisons, found.ties, found.prompts) == (3, 1, 2)
    assert found.accuracy.value == pytest.approx((1 + 0 + 0.5) / 3)
    lose = [math.log1p(math.exp(-2)), math.log1p(math.exp(1)), math.log(2)]
    assert found.loss == pytest.approx(sum(lose) / 3)
    # b and d are equally long; people preferred the longer one of the other two once, the model twice.
    assert found.length.people_prefer_longer.value == 0.5
    assert found.length.model_prefers_longer.value == 1.0
    assert (found.length.accuracy_longer.value, found.length.accuracy_shorter.value) == (1.0, 0.0)
    assert scorer.calls == [5]  # (p, aa) (p, b) (p, cccc) (q, b) (q, d), each once
    assert found.plain()["accuracy"]["count"] == 2
    with pytest.raises(HoneError, match="all of them ties"):
        judge(scorer, [compare("p", "aa", "b", tie=True)])


def test_the_error_of_a_calibrated_scorer_vanishes_and_that_of_an_overconfident_one_does_not() -> None:
    draw = random.Random(1)
    table: dict[str, float] = {}
    comparisons = []
    for i in range(4000):
        gap = draw.gauss(0, 2)
        table |= {f"a{i}": gap, f"b{i}": 0.0}
        first = draw.random() < 1 / (1 + math.exp(-gap))
        comparisons.append(compare(f"p{i}", *((f"a{i}", f"b{i}") if first else (f"b{i}", f"a{i}"))))
    assert judge(by_table(table), comparisons).error < 0.025
    assert judge(by_table({name: 4 * value for name, value in table.items()}), comparisons).error > 0.1


def test_calibration_against_a_slow_count() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0.5, 1, 300)
    happened = (rng.uniform(size=300) < predicted).astype(float).tolist()
    bins = calibration(predicted, happened, list(range(300)), low=0.5)
    error = 0.0
    for b in range(10):
        low, high = 0.5 + 0.05 * b, 0.5 + 0.05 * (b + 1)
        inside = [i for i in range(300) if low <= predicted[i] < high]
        gap = sum(happened[i] - predicted[i] for i in inside) / len(inside)
        error += abs(gap) * len(inside) / 300
        assert bins[b].count == len(inside)
    assert calibration_error(bins) == pytest.approx(error)


def test_thumbs() -> None:
    ratings = [
        Rating("p", Answer("a"), thumb=True),
        Rating("q", Answer("b"), thumb=True),
        Rating("q", Answer("c"), thumb=False),
    ]
    found = judge_thumbs(by_table({"a": 3.0, "b": -0.1, "c": -3.0}), ratings)
    assert found["accuracy"]["value"] == pytest.approx(2 / 3)
    assert [b["count"] for b in found["calibration"]] == [1, 1, 1]
    assert found["calibration"][2]["predicted"] == pytest.approx(1 / (1 + math.exp(-3)))
