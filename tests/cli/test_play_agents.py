"""``hone play`` on acting tasks: a person enters actions, an adviser advises, a model is watched."""

import io
from pathlib import Path

import pytest
from desk import Hone

from hone.envs.acting.face import Face
from hone.envs.tasks.bandit import Bandit
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer


def test_a_person_plays_tic_tac_toe_beside_perfect_play(hone: Hone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("4\n4\nx\n\n\n\n\n"))
    code, out, _ = hone("play", "tictactoe", "--task.opponent", "perfect")
    assert code == 0
    assert "0 1 2\n3 4 5\n6 7 8\nperfect:\n  0           11.1% ███" in out
    assert "4 is not possible now" in out
    assert '"x" means nothing here' in out
    assert out.rstrip().endswith("ended after 5 steps with return 0; 5 of 9 actions tried")


def test_a_baseline_is_watched_and_tries_every_arm(hone: Hone) -> None:
    out = hone(*["play", "bandit", "--task.arms", "3", "--task.horizon", "5", "--watch", "--seed", "4"])[1]
    lines = out.splitlines()
    assert next(line for line in lines if "%" in line).startswith("  blue        33.3%")
    assert "Step=1 Action=blue Reward=" in out
    assert "3 of 3 actions tried" in lines[-1]
    assert "regret" in lines[-1]
    quiet = hone(
        *["play", "bandit", "--task.arms", "3", "--task.horizon", "5", "--agent", "greedy", "--watch", "--no-hints"]
    )[1]
    assert "%" not in quiet
    assert "1 of 3 actions tried" in quiet


def test_a_model_is_watched_with_its_probabilities(hone: Hone, tmp_path: Path) -> None:
    policy = create_tiny(
        TinyConfig(width=16, layers=1, heads=2, max_length=64), char_tokenizer(["Gc|ab0123456789?"]), 0
    )
    policy.save(tmp_path / "model")
    face = f"--model {tmp_path / 'model'} --task.arms 3 --task.horizon 4 --watch"
    code, out, _ = hone(*f"play bandit {face} --task.face.style compact --sampling.max-tokens 1".split())
    assert code == 0
    task = Bandit(arms=3, horizon=4, face=Face("compact"))
    first = [float(line.split()[1][:-1]) for line in out.split(":\n")[1].splitlines()[:3]]
    assert sum(first) == pytest.approx(100, abs=0.2)
    played = [line.split(":")[0] for line in out.splitlines() if ": reward" in line]
    twin = task.bandits("test", [0], 0)
    rewards = [f"{action}: reward {twin.pull(['abc'.index(action)])[0]:.3g}" for action in played]
    assert [line for line in out.splitlines() if ": reward" in line] == rewards
    assert f"Gc|{played[0]}" in out  # the whole context, as the model reads it
    thinking = hone(
        *f"play bandit {face} --task.face.style counts --task.face.thoughts true --sampling.max-tokens 5".split()
    )
    assert thinking[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tictactoe --agent ucb", 'nobody of that name plays this; got "ucb"; expected one of: mcts, perfect, random'),
        ("gym --task.id FrozenLake-v1 --watch", "there is nobody to watch; do: give --model DIR"),
        ("bandit --task.arm 3", 'unknown key.*"arm"'),
        ("bandit --arms 3", 'unknown key; at hone play; got "arms"'),
        ("bandit --seed x", "wrong value; at --seed; got x"),
        ("bandit --agent ucb --model m", "one adviser is enough"),
        ("bandits", 'unknown environment; got "bandits"'),
    ],
)
def test_faults_are_one_line(hone: Hone, words: str, message: str) -> None:
    import re

    code, _, err = hone("play", *words.split())
    assert code == 2
    assert re.search(message, err), err


def test_help_of_a_task(hone: Hone) -> None:
    out = hone("play", "bandit", "--help")[1]
    assert "--task.arms 10" in out
    assert "who advises: ucb, greedy, frequent, random" in out
    with pytest.raises(SystemExit, match="0"):
        hone("play", "--help")
