"""Reward models through the real loop: learning, micro-batches, kill and resume, starting points, faults."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file
from stopping import timeless

from hone.algorithms.dpo import DPO
from hone.algorithms.grpo import GRPO
from hone.algorithms.preference import Preference
from hone.algorithms.regression import Regression
from hone.algorithms.thumbs import Thumbs
from hone.core.errors import HoneError
from hone.envs.graders import reward_model
from hone.envs.tasks.reviews import Reviews
from hone.models.config import LoraConfig, ModelConfig
from hone.models.reward_files import load_reward
from hone.models.tiny import TinyConfig
from hone.training.build import prefer_recipe_from, recipe_from, reward_recipe_from
from hone.training.feedback import FeedbackConfig
from hone.training.recipe import OptimiserConfig, RunConfig
from hone.training.reward import NormaliseConfig, RewardRecipe, TinyRewardRecipe, train_reward
from hone.training.run import Run

WORDS = ("good", "bad", "fine", "poor")


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Whoever says good or fine is preferred to who says bad or poor; every prompt is another one."""
    rows = [
        {"prompt": f"{i}?", "chosen": ("good", "fine")[i % 2] + "!" * (i % 3), "rejected": ("bad", "poor")[i // 2 % 2]}
        for i in range(60)
    ]
    return write(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", rows)


Make = Callable[..., RewardRecipe]


@pytest.fixture
def make(pairs: str, tmp_path: Path) -> Make:
    def recipe(
        out: str = "run", *, source: str = "", steps: int = 12, validation: float = 0.25, lr: float = 3e-3, **more: Any
    ) -> RewardRecipe:
        run = RunConfig(out=str(tmp_path / out), steps=steps, save_every=4, evaluate_every=6)
        more = {"rows": 8, "optimiser": OptimiserConfig(lr=lr, eps=1e-3), **more}
        if "model" not in more:
            more.setdefault("tiny", TinyConfig(width=32, layers=1, heads=2, max_length=32))
        return TinyRewardRecipe(FeedbackConfig(source or pairs, validation=validation), run=run, **more)

    return recipe


def weights(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = load_file(run.model / "model.safetensors")
    return found


def test_it_learns_what_people_prefer_and_says_how_well(make: Make) -> None:
    run = train_reward(make(steps=40))
    found = json.loads((run.path / "evals" / "held-out.json").read_text())
    assert found["accuracy"]["value"] == 1.0
    assert found["accuracy"]["low"] < 1.0
    assert run.metrics[-1]["loss"] < 0.3 < run.metrics[0]["loss"]
    assert "validation_loss" in run.metrics[5]
    assert run.metrics[5]["validation_pair_accuracy"] <= 1
    assert "100.0 %" in json.loads((run.path / "summary.json").read_text())["headline"]
    model = load_reward(run.path)  # a run's directory stands for the model in it
    good, bad = model.rewards(["7?", "7?"], ["good", "bad"])
    assert good > 0.5 > -0.5 > bad  # normalised on the answers that people judged


def test_micro_batches_do_not_change_the_weights(make: Make) -> None:
    ranked = [
        {
            "prompt": f"{i}?",
            "completions": ["good", "fine!", "bad", "poor"][: 2 + i % 3],
            "ranks": [1, 1, 2, 3][: 2 + i % 3],
        }
        for i in range(12)
    ]
    source = write(Path(make("x").run.out + ".jsonl"), ranked)
    for algorithm in (Preference(centre=0.1), Regression(per_prompt=True)):
        name = type(algorithm).__name__
        one, all_ = (
            weights(
                train_reward(
                    make(f"{name}{n}", source=source, steps=5, validation=0.0, micro_tokens=n, algorithm=algorithm)
                )
            )
            for n in (1, 1 << 20)
        )
        assert max(float(abs(one[k] - all_[k]).max()) for k in one) < 1e-6


SCRIPT = """
import torch
from hone.training.feedback import FeedbackConfig
from hone.training.reward import *
from hone.models.tiny import TinyConfig
torch.set_num_threads(1)
run = RunConfig(out={out!r}, steps=60, save_every=3, evaluate_every=30)
train_reward(TinyRewardRecipe(FeedbackConfig({source!r}, validation=0.25), rows=8, run=run,
             tiny=TinyConfig(width=32, layers=1, heads=2, max_length=32)), resume={resume!r})
"""


def test_killed_training_ends_with_the_same_bits(pairs: str, tmp_path: Path) -> None:
    def start(out: Path, resume: bool) -> subprocess.Popen[bytes]:
        text = SCRIPT.format(out=str(out), source=pairs, resume=resume)
        return subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE)

    def finish(process: subprocess.Popen[bytes]) -> None:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors.decode()

    finish(start(tmp_path / "whole", False))
    killed = Run(tmp_path / "killed")
    for target in (4, 17):
        process = start(killed.path, (killed.path / "config.toml").exists())
        while process.poll() is None and len(killed.metrics) < target:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if killed.model.exists():  # on a busy machine the run can be faster than we look
            break
    if not killed.model.exists():
        finish(start(killed.path, True))
    whole = Run(tmp_path / "whole")
    assert timeless(whole.metrics) == timeless(killed.metrics)
    a, b = weights(whole), weights(killed)
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)
    for name in ("config.json", "tokenizer.json"):  # the normalisation stands in the config
        assert (whole.model / name).read_text() == (killed.model / name).read_text()
    assert (whole.path / "evals/held-out.json").read_text() == (killed.path / "evals/held-out.json").read_text()


def test_it_starts_from_a_policy_an_earlier_reward_model_and_an_adapter(make: Make, tmp_path: Path) -> None:
    first = train_reward(make("first", steps=30, normalise=NormaliseConfig(answers=0)))
    again = train_reward(
        make("again", steps=1, lr=1e-9, model=ModelConfig(str(first.path)), normalise=NormaliseConfig(answers=0))
    )
    texts = (["5?", "5?"], ["good", "poor"])
    assert load_reward(again.path).scores(*texts) == pytest.approx(load_reward(first.path).scores(*texts), abs=1e-4)
    config = ModelConfig(str(first.path), lora=LoraConfig(rank=2))
    adapted = train_reward(make("adapted", steps=2, model=config))
    assert not (adapted.model / "adapter_config.json").exists()  # merged: one whole model
    assert json.loads((adapted.path / "evals/held-out.json").read_text())["accuracy"]["value"] == 1.0


def test_no_normalisation_leaves_the_scores_whatever_the_earlier_model_had(make: Make) -> None:
    first = load_reward(train_reward(make("first", steps=2)).path)
    assert (first.gain, first.bias) != (1.0, 0.0)
    start = ModelConfig(str(Path(make("first").run.out)))
    again = load_reward(train_reward(make("again", steps=2, model=start, normalise=NormaliseConfig(answers=0))).path)
    assert (again.gain, again.bias) == (1.0, 0.0)
    assert again.rewards(["5?"], ["good"]) == again.scores(["5?"], ["good"])


def test_what_is_too_long_is_in_no_number_and_counted(make: Make, pairs: str, tmp_path: Path) -> None:
    """Long answers contradict the short ones: with them, cut, the held-out accuracy could not be 1."""
    rows = [json.loads(line) for line in Path(pairs).read_text().splitlines()]
    long = [{"prompt": f"{i}!", "chosen": "x" * 40 + "bad", "rejected": "good"} for i in range(40)]
    source = write(tmp_path / "mixed.jsonl", rows + long)
    data = FeedbackConfig(source, validation=0.25, max_length=24)
    recipe = make(steps=40)
    run = train_reward(TinyRewardRecipe(data, tiny=recipe.tiny, rows=8, run=recipe.run, optimiser=recipe.optimiser))
    found = json.loads((run.path / "evals/held-out.json").read_text())
    short = json.loads((train_reward(make("short", steps=40)).path / "evals/held-out.json").read_text())
    assert found["accuracy"]["value"] == 1.0
    assert (found["samples"], found["left_out"], short["left_out"]) == (
        short["samples"],
        11,
        0,
    )  # of the 40, 29 in training
    headline = json.loads((run.path / "summary.json").read_text())["headline"]
    assert headline.endswith("11 labels with a row longer than 24 tokens are left out.")
    good, bad = load_reward(run.path).rewards(["7?", "7?"], ["good", "bad"])
    assert good > 0.5 > -0.5 > bad  # nor are they what rewards are normalised on


def test_scores_thumbs_and_ratings_pretrain_and_train(make: Make, tmp_path: Path) -> None:
    scored = [
        {"prompt": f"{i}?", "completion": f"{word}{i % 5}", "score": score}
        for i in range(20)
        for word, score in zip(WORDS, (5.0, 1.0, 4.0, 2.0), strict=True)
    ]
    source = write(tmp_path / "scored.jsonl", scored)
    regression = train_reward(make("r", source=source, steps=60, algorithm=Regression()))
    good, bad = load_reward(regression.path).scores(["3?", "3?"], ["good3", "bad3"])
    assert good == pytest.approx(2 / 2.5**0.5, abs=0.5)  # standardised: (5 − 3) over the deviation of 5, 1, 4, 2
    assert bad == pytest.approx(-2 / 2.5**0.5, abs=0.5)
    gap = FeedbackConfig(source, validation=0.25, min_gap=2.0)
    recipe = make("p", source=source, steps=30)
    found = train_reward(TinyRewardRecipe(gap, tiny=recipe.tiny, rows=8, run=recipe.run))
    judged = json.loads((found.path / "evals/held-out.json").read_text())
    assert judged["samples"] == 4 * judged["questions"]  # of six pairs a prompt two differ by less than 2
    thumbs = [{"prompt": r["prompt"], "completion": r["completion"], "label": r["score"] in (4.0, 5.0)} for r in scored]
    made = train_reward(make("t", source=write(tmp_path / "t.jsonl", thumbs), steps=40, algorithm=Thumbs()))
    assert json.loads((made.path / "evals/held-out-thumbs.json").read_text())["accuracy"]["value"] > 0.9


def test_normalised_on_answers_of_a_policy(make: Make, tmp_path: Path) -> None:
    from toy import tiny_model

    normalise = NormaliseConfig(answers=16, policy=str(tiny_model(tmp_path / "policy")), max_tokens=4)
    model = load_reward(train_reward(make("n", steps=2, normalise=normalise)).path)
    own = load_reward(train_reward(make("o", steps=2)).path)
    assert model.scores(["1?"], ["good"]) == own.scores(["1?"], ["good"])
    assert model.gain != own.gain


def test_keys_of_an_algorithm_without_its_name_are_of_the_recipes_own(pairs: str) -> None:
    data, model = {"source": pairs}, {"path": "x"}
    assert reward_recipe_from({"data": data, "algorithm": {"margin": 0.5}}).algorithm == Preference(margin=0.5)
    tables = {"data": data, "model": model, "algorithm": {"beta": 0.3}}
    assert prefer_recipe_from(tables).algorithm == DPO(beta=0.3)
    with pytest.raises(HoneError, match=r'did you mean "margin"'):
        reward_recipe_from({"data": data, "algorithm": {"marginn": 0.5}})
    with pytest.raises(HoneError, match=r"the algorithm has no name; .*got 'thumbs'"):
        reward_recipe_from({"data": data, "algorithm": "thumbs"})


def test_faults(make: Make, tmp_path: Path, pairs: str) -> None:
    with pytest.raises(HoneError, match=r"GRPO does not learn from data of this kind.*old_logprob"):
        train_reward(make(algorithm=GRPO()))
    with pytest.raises(HoneError, match="there are no thumbs to learn from; got comparisons"):
        train_reward(make(algorithm=Thumbs()))
    with pytest.raises(HoneError, match=r"no example is left to train on; got .* too long"):
        train_reward(make(tiny=TinyConfig(width=32, layers=1, heads=2, max_length=2)))
    with pytest.raises(HoneError, match="no such model directory"):
        train_reward(make(model=ModelConfig("./none")))
    with pytest.raises(HoneError, match=r"recipe has no \[data\]"):
        reward_recipe_from({})
    with pytest.raises(HoneError, match=r"normalise[.]answers is 0 or at least 2"):
        reward_recipe_from({"data": {"source": pairs}, "normalise": {"answers": 1}})
    with pytest.raises(HoneError, match=r"Preference learns from judged answers.*hone reward"):
        recipe_from({"model": {"path": "x"}, "task": {"name": "addition"}, "algorithm": {"name": "preference"}}).check()
    assert not (tmp_path / "run").exists()


def test_a_reward_model_is_a_reward_beside_any_other(make: Make, tmp_path: Path) -> None:
    run = train_reward(make(steps=40))
    task = Reviews(graders=({"name": "reward_model", "path": str(run.path)}, {"name": "length", "maximum": 3}))
    task.preflight()
    outcomes = task.grader.grade(["1?", "2?", "3?"], ["good", "bad", " "], {})
    model = load_reward(run.path)
    expected = model.rewards(["1?", "2?"], ["good", "bad"])
    values = [outcome.criteria for outcome in outcomes]  # type: ignore[union-attr]
    assert [v["reward_model"] for v in values] == pytest.approx([*expected, -5.0], abs=1e-5)
    clipped = reward_model.RewardModel(str(run.path), clip=0.1)
    assert clipped.floor == -0.1  # nothing is below the least reward there is, nor is an empty answer
    assert [o.value for o in clipped.grade(["1?", "2?", "3?"], ["good", "bad", ""], {})] == [0.1, -0.1, -0.1]  # type: ignore[union-attr]
    assert [outcome.value for outcome in outcomes] == pytest.approx(  # type: ignore[union-attr]
        [expected[0] - 1, expected[1], -5.0], abs=1e-5
    )
    with pytest.raises(HoneError, match=r"failed on a known answer.*reward_model: HoneError: no such model directory"):
        Reviews(graders=({"name": "reward_model", "path": str(tmp_path / "none")},)).preflight()
    torch.manual_seed(0)
