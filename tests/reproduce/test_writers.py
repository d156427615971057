"""Ratings recover the judge's order of writers, and find none where there is none."""

from __future__ import annotations

import pytest

from hone.envs.tasks.reviews import Reviews
from hone.reproduce import _writers


def test_ratings_recover_the_judges_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_writers, "SAMPLES", 300)
    found = _writers.ladder(Reviews(), seed=0)
    assert found["writers_bradley_terry"] > 0.95
    assert found["writers_elo"] > 0.95
    assert found["writers_order"] > 0.9
    assert all(w["low"] <= w["rating"] <= w["high"] for w in found["writers"])


def test_equal_writers_are_not_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_writers, "SKILLS", (0.0,) * 4)
    monkeypatch.setattr(_writers, "SAMPLES", 50)
    found = _writers.ladder(Reviews(), seed=0)
    assert max(abs(w["rating"]) for w in found["writers"]) < 0.25
