"""The reproduction of RISE on settings of a few seconds: its numbers are those of the evaluations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hone.algorithms.nll import NLL
from hone.evaluate.turns import Attempt, TurnEvaluation, evaluate_turns
from hone.evaluate.turns import Run as Turns
from hone.reproduce import _rise as runs
from hone.reproduce import rise
from hone.rollout.improvers.best_of import BestOf
from hone.rollout.improvers.solver import Solver
from hone.training.run import Run


def evaluation(*questions: str) -> TurnEvaluation:
    """Runs of five turns written as strings of right (1) and wrong (0) attempts; all right answers are one answer."""
    played = [
        Turns(number, tuple(Attempt("right" if c == "1" else f"wrong {i}", c == "1") for i, c in enumerate(turns)))
        for number, turns in enumerate(questions)
    ]
    return evaluate_turns(played, {run.question: run.attempts for run in played})


def test_gains_of_two_models_are_paired_by_seed_and_question() -> None:
    ours = [evaluation("00111", "11111"), evaluation("01111", "00000")]
    theirs = [evaluation("00000", "11111"), evaluation("00111", "11111")]
    found = rise.beyond_star(ours, theirs)
    # Gains m1@t5 − m1@t1 by question: ours 1 0 | 1 0, theirs 0 0 | 1 0.
    assert found.value == pytest.approx(1 / 4)
    assert found.count == 4


@pytest.mark.timeout(600)
def test_the_whole_in_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little = runs.Variant(prompts=4, rounds=2, turns=2, improver=BestOf(2, ties="held"))
    variants = {runs.SELF: little, runs.TAUGHT: replace(little, improver=Solver())}
    for name, value in {
        "VARIANTS": variants,
        "STAR": replace(little, turns=1, improver=Solver(), algorithm=NLL(), criterion="success"),
        "ABLATIONS": {"window 1": replace(little, window=1)},
        "TASK": replace(runs.TASK, train=64, test=8),
        "SHIFTED": replace(runs.SHIFTED, train=64, test=8),
        "ROUNDS": 2,
        "ABLATED_ROUNDS": 1,
        "QUESTIONS": 8,
        "FEWER": 4,
        "BASE_STEPS": 2,
        "BOOST_STEPS": 1,
        "GRPO_STEPS": 1,
        "GRPO_PROMPTS": 4,
        "GRPO_SAMPLES": 2,
    }.items():
        monkeypatch.setattr(runs, name, value)
    reported: list[Path] = []
    monkeypatch.setattr(rise, "write_report", reported.append)
    made = rise.reproduce(tmp_path, [0])
    names = [check.name for check in made.checks]
    assert len(names) == 12 and sum(name.startswith("distillation") for name in names) == 6
    values = {check.name: check.value for check in made.checks}
    arms = made.summary["arms"]
    ours, boost = arms[runs.SELF], arms["boost"]
    gain = (ours["m1@t5"] - ours["m1@t1"]) - (boost["m1@t5"] - boost["m1@t1"])
    assert values[f"{runs.SELF}: (m1@t5 − m1@t1) − the boosted base's"] == pytest.approx(gain)
    assert made.summary["held_out_questions"] == 8
    assert set(arms) == {*rise.ARMS, "Self-Refine"}
    assert list(rise._ablations(tmp_path, 0)) == ["as above", "window 1"]
    assert [len(rounds) for rounds in made.summary["rounds"].values()] == [2, 2]
    assert reported == [tmp_path / runs.SELF]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.jsonl")}
    assert tmp_path / runs.TAUGHT / "round-2" / "fit" / "metrics.jsonl" in before
    evaluated: list[Path] = []

    def evaluate(run: Run, *_: object, **__: object) -> TurnEvaluation:
        evaluated.append(run.path)
        return evaluation("00111")

    monkeypatch.setattr(runs, "evaluate", evaluate)
    rise._one(tmp_path, 0)
    assert tmp_path / "star" in evaluated
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.jsonl")}, (
        "stages that are finished are used as they are"
    )
