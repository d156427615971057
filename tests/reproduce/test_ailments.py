"""The reproductions of frequency bias and of knowing and doing, on scripted agents in place of trained ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hone.data.experts import Experts
from hone.envs.acting.rationale import rationale_of
from hone.evaluate.diagnostics.knowing_doing import KnowingDoing
from hone.evaluate.subjects import Scripted
from hone.reproduce import frequency_bias, knowing_doing
from hone.reproduce.rlft_bandit import TASK
from hone.tabular.bandits.searching import search
from hone.tabular.bandits.tallies import Mind, frequent, greedy, optimistic, uniform


def values(checks: Any) -> dict[str, float]:
    return {check.name: check.value for check in checks}


def test_knowing_and_doing_of_scripted_agents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    task = knowing_doing.TASK
    thinks = rationale_of(task.face, task.scene)
    minds: dict[str, Mind] = {"base": greedy, "rlft": uniform, "bonus": uniform, "cloned": optimistic()}
    minds[knowing_doing.BEST] = search(task.arms, task.horizon)

    def one(out: Path, seed: int) -> dict[str, dict[str, Any]]:
        world = task.bandits("test", [0])
        found = {}
        for name, mind in minds.items():
            subject = Scripted(mind, world, seed, thinks)
            found[name] = {**KnowingDoing(episodes=16).examine(subject), "regret": 1.0}
        return {**found, "random": {"regret": 2.0}}

    monkeypatch.setattr(knowing_doing, "_one", one)
    found = knowing_doing.reproduce(tmp_path, [0, 1])
    measured = values(found.checks)
    assert measured["share of correct rationales, base"] == 1.0
    assert measured["fall of the greedy share, thought cloning"] == 1.0  # from all to none
    assert 0.5 < measured["fall of the greedy share, RLFT"] < 0.95
    assert all(check.holds for check in found.checks)
    assert len(found.pictures) == 5
    rows = {row["agent"]: row for row in found.tables["Held-out bandits, mean over seeds"]}
    assert rows[knowing_doing.BEST]["knows"] == "1.000"
    assert found.tables["Greedy share given a correct rationale"][0]["seed 1"] == "1.000"
    assert "100% are greedy before fine-tuning" in found.headline


def test_the_planted_gap_is_there_in_the_corpus() -> None:
    """What the corpus shows has the shares that the notes tell."""
    records = Experts(of=knowing_doing.TASK, greedy=knowing_doing.GREEDY, random=knowing_doing.RANDOM).corpus(2000, 0)
    face, labels = knowing_doing.TASK.face, knowing_doing.TASK.face.labels(knowing_doing.TASK.scene)
    rationale = rationale_of(face, knowing_doing.TASK.scene)
    kinds = []
    for record in records:
        bounds = np.array(rationale.read(record["completion"]))
        action = face.read(record["completion"], labels)
        if np.isinf(bounds).all() or np.isfinite(bounds).all() or action is None:
            continue  # nothing tried yet, or nothing left to try: greed does not show
        tried = np.where(np.isfinite(bounds), bounds, -np.inf)
        kinds.append("optimal" if np.isinf(bounds[action]) else "greedy" if bounds[action] == tried.max() else "other")
    # What is random is the best tried arm in a third of the cases.
    expected = knowing_doing.GREEDY + knowing_doing.RANDOM / knowing_doing.TASK.arms
    assert kinds.count("greedy") / len(kinds) == pytest.approx(expected, abs=0.03)
    assert kinds.count("other") / len(kinds) < 0.04


def test_frequency_bias_of_scripted_agents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def one(out: Path, seed: int) -> dict[str, dict[str, Any]]:
        world = TASK.bandits("test", [0])
        return {
            name: frequency_bias.PROTOCOL.examine(Scripted(mind, world, seed))
            for name, mind in {"base": frequent, "rlft": greedy}.items()
        }

    monkeypatch.setattr(frequency_bias, "_one", one)
    found = frequency_bias.reproduce(tmp_path, [0])
    base = found.summary["agents"]["base"][0]["shares"]["frequent"]
    measured = values(found.checks)
    assert measured["fall of the frequent share, 5–10 repeats"] == pytest.approx(np.mean(base[5:11]))
    assert measured["fall of repeating a worse arm, 5–10 repeats"] > 0.95
    assert len(found.pictures) == 3
