"""An evaluation of a handful of trajectories, every number of it by hand."""

from __future__ import annotations

import json

import pytest

from hone.core.errors import HoneError
from hone.core.types import Completion, Failed, Outcome, Scored, StopReason, Trajectory, Turn
from hone.evaluate.accuracy import evaluate, stratum_of
from hone.evaluate.estimates import wilson


def _sample(episode: int, outcome: Outcome, length: int = 3, stop: StopReason = "end") -> Trajectory:
    action = Completion(tuple(range(length)), (-0.5,) * length, stop)
    return Trajectory(episode, episode, 0, (Turn((1, 2), action, "text", outcome),))


def _right(answer: str = "7") -> Scored:
    return Scored(1.0, answer=answer)


def _wrong(answer: str = "3") -> Scored:
    return Scored(0.0, answer=answer)


BROKEN = Failed("no reply", "timeout")

SAMPLES = [
    *[_sample(0, o) for o in (_right(), _right(), _wrong(), _wrong(""))],
    *[_sample(1, o, length=5, stop="length") for o in (_wrong(), _wrong(), _wrong(), _right())],
    *[_sample(2, o) for o in (_right(), BROKEN, _right(), _right())],
]


def test_every_number() -> None:
    found = evaluate(SAMPLES, greedy=[_sample(0, _right()), _sample(1, _wrong()), _sample(2, BROKEN)], ks=(1, 2, 4))
    assert (found.questions, found.samples, found.failures) == (3, 12, 2)
    assert found.accuracy.value == pytest.approx(6 / 11)
    # residuals of the questions: 2-24/11, 1-24/11, 3-18/11
    squares = ((2 - 24 / 11) ** 2 + (1 - 24 / 11) ** 2 + (3 - 18 / 11) ** 2) / 11**2
    effective = (6 / 11) * (5 / 11) / squares
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(wilson(6 / 11, effective))
    assert found.greedy is not None
    assert (found.greedy.value, found.greedy.count) == (0.5, 2)
    assert found.pass_at[1].value == pytest.approx((2 / 4 + 1 / 4 + 1) / 3)
    assert found.pass_at[2].value == pytest.approx(((1 - 1 / 6) + (1 - 3 / 6) + 1) / 3)
    # the third question has three graded samples only: it takes no part in pass@4
    assert (found.pass_at[4].value, found.pass_at[4].count) == (1.0, 2)
    assert found.maj_at[4].value == pytest.approx((1 + 0) / 2)
    assert found.reward.value == pytest.approx(6 / 11)
    assert found.length.value == pytest.approx((4 * 3 + 4 * 5 + 3 * 3) / 11)
    assert found.truncation_rate.value == pytest.approx(4 / 11)


def test_strata_hold_the_same_numbers_in_natural_order() -> None:
    class Digits:
        def stratum(self, episode: int, split: str) -> str:
            assert split == "test"
            return "10 digits" if episode == 1 else "2 digits"

    found = evaluate(SAMPLES, ks=(1, 4), stratum=stratum_of(Digits(), "test"))
    assert list(found.strata) == ["2 digits", "10 digits"]
    assert found.strata["10 digits"] == evaluate([t for t in SAMPLES if t.episode == 1], ks=(1, 4))
    assert found.strata["2 digits"].accuracy.value == pytest.approx(5 / 7)
    assert stratum_of(object(), "test") is None


def test_the_threshold_decides_what_is_correct() -> None:
    samples = [_sample(0, Scored(0.1 + 0.2)), _sample(1, Scored(0.29))]
    assert evaluate(samples, threshold=0.3).accuracy.value == 0.5
    assert evaluate(samples).accuracy.value == 0.0


def test_too_large_k_and_nothing_at_all_are_refused() -> None:
    with pytest.raises(HoneError, match="pass@8"):
        evaluate(SAMPLES, ks=(8,))
    with pytest.raises(HoneError, match="nothing to evaluate"):
        evaluate([])


def test_plain_is_strict_json_even_when_every_grade_failed() -> None:
    found = evaluate([_sample(0, BROKEN), _sample(1, BROKEN)], ks=(1,))
    read = json.loads(json.dumps(found.plain(), allow_nan=False))
    assert read["failures"] == 2
    assert read["accuracy"] == {"value": None, "low": None, "high": None, "count": 0}
    assert read["pass_at"]["1"]["value"] is None
    assert read["greedy"] is None
