"""``hone eval`` on an agent: which examinations are made, where they go, and what is refused."""

import json
from pathlib import Path

import pytest
from desk import Hone

from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer

BANDIT = "--task bandit --task.arms 3 --task.horizon 6 --task.face.style compact --sampling.max-tokens 1"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    policy = create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=64), char_tokenizer(["Gc|ab0123456789"]), 0)
    policy.save(tmp_path / "run" / "model")
    (tmp_path / "run" / "config.toml").write_text("[run]\nsteps = 1\n")
    return tmp_path


def test_an_agent_is_examined_into_its_run(hone: Hone, agent: Path) -> None:
    short = "--diagnostic frequency_bias --diagnostic.repeats 12 --diagnostic.bandits 2"
    code, out, err = hone(*f"eval run {BANDIT} {short} --eval.seed 1".split())
    assert (code, err) == (0, "")
    found = json.loads((agent / "run/evals/frequency_bias.json").read_text())
    assert (found["model"], found["task"]["arms"], found["histories"]) == ("run", 3, 2 * 3 * 5)
    assert "run/evals/frequency_bias.json; run/report.html" in out
    assert "Windows of repeats" in (agent / "run/report.html").read_text()
    assert hone(*f"eval run/model {BANDIT} --diagnostic greediness --diagnostic.episodes 4".split())[0] == 0
    assert (agent / "run/evals/greediness.json").exists()


def test_without_a_name_all_that_suit_are_made_in_a_folder_of_their_own(hone: Hone, agent: Path) -> None:
    (agent / "run/model").rename(agent / "bare")
    code, out, _ = hone(*f"eval bare {BANDIT} --out there --task.horizon 3".split())
    assert code == 2  # the default repeats of frequency_bias do not fit the model
    code, out, _ = hone(*f"eval bare {BANDIT} --out there --diagnostic greediness --diagnostic.episodes 4".split())
    assert code == 0
    assert "score (0 random, 1 best UCB)" in out
    page = (agent / "there/report.html").read_text()
    assert "examination of an agent" in page
    assert "regret, Thompson" in page
    assert json.loads((agent / "there/evals/greediness.json").read_text())["episodes"] == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            f"{BANDIT} --diagnostic knowing_doing",
            'says nothing about this task; at diagnostic.name; got "knowing_doing"',
        ),
        (
            f"{BANDIT} --task.aids.shuffle true --diagnostic frequency_bias",
            "says nothing about this task.*neither permute labels nor ask twice",
        ),
        (f"{BANDIT} --diagnostic greedines", 'unknown diagnostic; got "greedines"; expected did you mean "greediness"'),
        (f"{BANDIT} --diagnostic greediness --diagnostic.repeats 3", 'unknown key.*"repeats"'),
        (f"{BANDIT} --diagnostic frequency_bias", "episode is longer than the model's context; got 2[0-9]{2} tokens"),
        ("--task addition --diagnostic greediness", "says nothing about this task"),
        ("--task bandit --task.arms 30", "more actions than names|more arms than names"),
    ],
)
def test_what_cannot_be_examined_is_one_line(hone: Hone, agent: Path, words: str, message: str) -> None:
    import re

    code, _, err = hone(*f"eval run {words}".split())
    assert code == 2
    assert re.search(message, err), err
    assert err.count("\n") <= 3


def test_help_names_the_keys_of_a_diagnostic(hone: Hone) -> None:
    out = hone(*["eval", "--task", "bandit", "--diagnostic", "frequency_bias", "--help"])[1]
    assert "--diagnostic.repeats 100" in out
    assert "--task.arms 10" in out
    assert "--diagnostic.name" in out
