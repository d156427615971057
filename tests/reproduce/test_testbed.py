"""The 10-armed testbed within two points of its targets."""

import math
from pathlib import Path

import pytest

from hone.reproduce import testbed
from hone.reproduce.testbed import FIGURES, LAST, Experiment, measure

EXPERIMENTS = [experiment for _, experiments in FIGURES.values() for experiment in experiments]
TARGETED = [experiment for experiment in EXPERIMENTS if not math.isnan(experiment.optimal)]


@pytest.mark.parametrize("experiment", TARGETED, ids=lambda e: f"{e.name}-{e.centre}")
def test_last_fifty_steps(experiment: Experiment) -> None:
    reward_T, optimal_T = measure(experiment, seeds=[0], runs=4000)
    assert 100 * optimal_T[-LAST:].mean() == pytest.approx(experiment.optimal, abs=2.0)
    if not math.isnan(experiment.reward):
        assert reward_T[-LAST:].mean() == pytest.approx(experiment.reward, abs=0.04)


def test_reproduction_reports_what_it_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testbed, "measure", lambda experiment, seeds: measure(experiment, seeds, runs=20))
    found = testbed.reproduce(tmp_path, [3])
    _, optimal_T = measure(EXPERIMENTS[0], [3], runs=20)
    assert found.checks[0].value == pytest.approx(100 * optimal_T[-LAST:].mean())
    assert [check.name for check in found.checks[:2]] == ["greedy: optimal pulls, %", "greedy: reward"]
    assert len(found.checks) == 18 and len(found.pictures) == 2 * len(FIGURES)
    assert {row["agent"] for row in found.tables["Last 50 steps"]} >= {
        "greedy",
        "UCB c = 2",
        "gradient α = 0.4, no baseline",
    }
