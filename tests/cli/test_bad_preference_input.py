"""Reward models and policies that do not go together, from the command line with directories of several families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from hone.cli.main import call
from hone.envs.tasks.reviews import Reviews
from hone.models.reward_files import load_reward, reward_of
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import byte_tokenizer, char_tokenizer

FAMILIES = ("qwen2", "gemma2", "gpt_neox")
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Policies of three families over the letters of reviews; reward models over bytes, one with a chat template."""
    folder = tmp_path_factory.mktemp("shelf")
    letters = char_tokenizer([text for pair in Reviews().corpus(300, 0) for text in pair])
    for family in FAMILIES:
        config = TinyConfig(architecture=family, width=16, layers=1, heads=2, max_length=128)
        create_tiny(config, letters, seed=1).save(folder / family)
    for name in ("reward", "chat-reward"):
        tokenizer = byte_tokenizer()
        tokenizer.chat_template = TEMPLATE if name == "chat-reward" else None
        policy = create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=256), tokenizer, seed=2)
        reward_of(policy, seed=3).save(folder / name)
    return folder


def recipe(shelf: Path, out: Path, family: str, **more: Any) -> dict[str, Any]:
    return {
        "model": {"path": str(shelf / family)},
        "task": {"name": "reviews", "graders": [{"name": "reward_model", "path": str(shelf / "reward")}]},
        "algorithm": {"name": "ppo", "beta": 0.05},
        "sampling": {"max_tokens": 8},
        "batch": {"prompts": 2, "samples": 2},
        "run": {"out": str(out), "steps": 1},
        **more,
    }


def run(values: dict[str, Any], path: Path, *flags: str, verb: str = "train") -> int:
    path.write_text(tomli_w.dumps(values))
    return call([verb, str(path), *flags])


@pytest.mark.parametrize(
    ("family", "judge"), [("qwen2", "reward"), ("gemma2", "chat-reward"), ("gpt_neox", "chat-reward")]
)
def test_a_reward_model_with_another_vocabulary_or_template_reads_text(
    shelf: Path, tmp_path: Path, family: str, judge: str
) -> None:
    graders = [{"name": "reward_model", "path": str(shelf / judge)}]
    values = recipe(shelf, tmp_path / "run", family, task={"name": "reviews", "graders": graders})
    assert run(values, tmp_path / "recipe.toml") == 0
    (file,) = (tmp_path / "run" / "rollouts").glob("*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    found = [(line["prompt"], line["turns"][0]["text"], line["turns"][0]["reward"]) for line in lines]
    judged = [(prompt, text, reward) for prompt, text, reward in found if text.strip()]
    assert len(judged) > 1
    own = load_reward(shelf / judge).rewards([p for p, _, _ in judged], [t for _, t, _ in judged])
    assert [reward for _, _, reward in judged] == pytest.approx(own, abs=1e-5)
    other = load_reward(shelf / ("reward" if judge != "reward" else "chat-reward"))
    assert own != pytest.approx(other.rewards([p for p, _, _ in judged], [t for _, t, _ in judged]), abs=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--model.value.model", "separate", "--model.value.path", "SHELF/reward"],
            "another tokenizer than the policy",
        ),
        (["--model.value.model", "separate", "--model.value.path", "SHELF/FAMILY"], "this model has no reward head"),
        (["--task.graders", '[{name = "reward_model", path = "SHELF/FAMILY"}]'], "this model has no reward head"),
        (["--reference", "SHELF/reward"], "SHELF/reward"),
        (["--algorithm.beta", "0.0", "--algorithm.kl_target", "6.0"], "a KL target with beta = 0"),
        (["--ptx.weight", "2.0"], "ptx needs a corpus"),
    ],
)
def test_one_line_says_what_does_not_fit(
    shelf: Path, tmp_path: Path, family: str, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def named(text: str) -> str:
        return text.replace("SHELF", str(shelf)).replace("FAMILY", family)

    assert run(recipe(shelf, tmp_path / "run", family), tmp_path / "recipe.toml", *map(named, flags)) == 2
    error = capsys.readouterr().err
    assert named(said) in error
    assert error.count("\n") == 1
    assert error.startswith("hone: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_rounds_with_a_reward_model_of_another_family(shelf: Path, tmp_path: Path, family: str) -> None:
    values = {
        "model": {"path": str(shelf / family)},
        "task": {"name": "reviews"},
        "rounds": {"name": "rlhf", "rounds": 1, "prompts": 6, "arena": 2, "judge": {"name": "noisy_judge"}},
        "reward": {"model": {"path": str(shelf / "chat-reward")}, "rows": 4, "run": {"steps": 2}},
        "online": {"sampling": {"max_tokens": 8}, "batch": {"prompts": 2, "samples": 2}, "run": {"steps": 1}},
        "run": {"out": str(tmp_path / "run")},
    }
    assert run(values, tmp_path / "recipe.toml", verb="rounds") == 0
    config = json.loads((tmp_path / "run" / "round-1" / "reward" / "model" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["model_type"] == family


@pytest.mark.parametrize(
    ("reward", "said"), [("reward", "another tokenizer than the policy"), ("none", "no such model")]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_reward_model_that_cannot_serve_is_refused_before_people_are_asked(
    shelf: Path, tmp_path: Path, family: str, reward: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {
        "model": {"path": str(shelf / family)},
        "task": {"name": "reviews"},
        "rounds": {"name": "rlhf", "critic_from_reward": True},
        "reward": {"model": {"path": str(shelf / reward)}},
        "run": {"out": str(tmp_path / "run")},
    }
    assert run(values, tmp_path / "recipe.toml", verb="rounds") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
