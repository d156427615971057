"""hone tabular and hone play, from their command lines."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from hone.cli import play, tabular
from hone.core.errors import HoneError


def test_planning_on_frozen_lake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tabular.run(["--env", "FrozenLake-v1", "--agent", "policy-iteration", "--out", str(tmp_path)])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["start value"] == pytest.approx(0.54203, abs=1e-5)
    assert summary["policy"][0] == 0 and len(summary["values"]) == 16
    shown = capsys.readouterr().out
    assert shown.startswith(("← ↑ ↑ ↑\n← H ← H\n↑ ↓ ← H\nH → ↓ G\n", "← ↑ ↑ ↑\n← H → H\n"))
    assert shown.endswith(f"report: {tmp_path / 'report.html'}\n")
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_learning_on_a_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tabular.run(
        ["--env", "dyna-maze", "--agent", "dyna-q", "--gamma", "0.95", "--episodes", "12", "--runs", "4",
         "--limit", "4000", "--out", str(tmp_path)]
    )  # fmt: skip
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["return per episode"][-1] == 1.0 and len(summary["values"]) == 54
    tabular.run(["--env", "gambler", "--agent", "value-iteration", "--gamma", "1", "--out", str(tmp_path / "b")])
    values = json.loads((tmp_path / "b" / "summary.json").read_text())["values"]
    assert values[50] == pytest.approx(0.4)
    capsys.readouterr()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--env", "clif"], 'unknown environment; got "clif"; expected did you mean "cliff"'),
        (["--agent", "q-lerning"], 'unknown agent; got "q-lerning"; expected did you mean "q-learning"'),
        (["--env", "CartPole-v1"], r"tables need discrete states and actions.*Box\(\[-4.8 -inf"),
        (["--env", "CartPole-v1", "--agent", "value-iteration"], "tables need discrete states and actions"),
        (["--env", "nowhere:X-v0"], "cannot make the environment; got nowhere:X-v0"),
        (["--env", "cliff", "--bonus", "0.1"], "q_learning ignores bonus"),
        (["--env", "teleport-grid", "--agent", "value-iteration", "--gamma", "1"], "every state must be able to end"),
        (["--runs", "0"], "1 or more"),
    ],
)
def test_faults_are_said_plainly(argv: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(HoneError, match=message):
        tabular.run([*argv, "--out", str(tmp_path)])


FAULTY = """
import gymnasium

class Faulty(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Discrete(2)
    P = {s: {a: [(0.5, 1, 1.0, True), (0.5 - 0.1 * s * a, 0, 0.0, False)] for a in range(2)} for s in range(2)}

gymnasium.register("mine/Faulty-v0", entry_point=Faulty, disable_env_checker=True)
"""


@pytest.mark.parametrize("agent", ["value-iteration", "q-learning"])
def test_a_faulty_table_of_ones_own_is_named_by_row(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty_world.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(HoneError, match=r"do not sum to 1; at state 1, action 1; got 0.9"):
        tabular.run(["--env", "faulty_world:mine/Faulty-v0", "--agent", agent, "--out", str(tmp_path)])


def test_a_first_episode_far_off_does_not_flatten_the_chart() -> None:
    values = np.concatenate([[-2000.0], np.linspace(-60.0, -50.0, 99)])
    limits, hidden = tabular._limits(values)
    later = np.linspace(-60.0, -50.0, 99)[4:]  # the first twentieth is left out
    margin = 0.05 * (later.max() - later.min())
    assert hidden and limits == (later.min() - margin, later.max() + margin)
    assert tabular._limits(np.linspace(0, 1, 100)) == ((None, None), False)


def _play(argv: list[str], entered: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(entered))
    play.run(argv)
    return capsys.readouterr().out


def test_play_walks_by_keys_words_and_suggestions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _play(["cliff"], "w right\n" + "\n" * 20, monkeypatch, capsys)
    assert "up: reward -1" in shown and "the optimum would go right" in shown
    assert shown.endswith("ended after 13 steps with return -13\n")
    shown = _play(["cliff", "--no-hints"], "d fly q", monkeypatch, capsys)
    assert "right: reward -100" in shown and '"fly" means nothing here' in shown and "optimum" not in shown
    assert shown.endswith("left after 1 steps with return -100\n")
    lake = _play(["FrozenLake-v1"], "\n", monkeypatch, capsys)
    assert "the optimum would go left" in lake and "left: reward 0" in lake
    taxi = _play(["Taxi-v4"], "0\n", monkeypatch, capsys)
    assert "0: reward -1" in taxi and "0 to 5 acts" in taxi
    assert _play(["cliff", "--limit", "2"], "\n\n\n\n", monkeypatch, capsys).endswith(
        "left after 2 steps with return -2\n"
    )
