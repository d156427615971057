"""Kill and resume is exact (law 11)."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import toy
from stopping import timeless

from hone import GRPO, train
from hone.core.errors import HoneError
from hone.training.run import Run

SUPPORT = Path(toy.__file__).parent
SETTINGS: dict[str, Any] = {
    "steps": 24,
    "prompts": 4,
    "samples": 4,
    "epochs": 2,
    "updates": 2,
    "lr": 1e-3,
    "schedule": "linear",
    "warmup": 3,
    "max_tokens": 4,
    "save_every": 3,
    "evaluate_every": 4,
    "rollouts_every": 5,
    "seed": 3,
}
SELECTING: dict[str, Any] = {"resample": 2, "truncated": "mask", "overlong": 2}
"""Rounds of questions that depend on outcomes: the resumed run has to find the same ones."""
SCRIPT = """
import sys, torch
sys.path.insert(0, {here!r})
import toy
from hone import GRPO, PPO, load, train
from hone.models.config import ValueConfig
from hone.training.recipe import PtxConfig
torch.set_num_threads(1)
task = toy.Echo(turns=2)
train({call}, out={out!r}, resume={resume!r}, **{settings!r})
"""
GRPO_CALL = "{model!r}, task, GRPO(beta=0.01)"
PPO_CALL = """
load({model!r}, value=ValueConfig("VALUE", hidden=8)),
task,
PPO(beta=0.05, kl_controller="adaptive", kl_target=0.05, kl_horizon=64.0, missing_end=-1.0, entropy_weight=0.01),
ptx=PtxConfig(task=task, examples=30, rows=4, weight=0.5)
"""


def start(model: Path, out: Path, settings: dict[str, Any], call: str, *, resume: bool) -> subprocess.Popen[bytes]:
    made = call.format(model=str(model))
    text = SCRIPT.format(here=str(SUPPORT), call=made, out=str(out), resume=resume, settings=settings)
    return subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()


def kill_and_resume(tmp_path: Path, kills: int, seed: int, settings: dict[str, Any], call: str = GRPO_CALL) -> None:
    model = toy.tiny_model(tmp_path / "base")
    finish(start(model, tmp_path / "whole", settings, call, resume=False))
    draw = random.Random(seed)
    out = tmp_path / "killed"
    done = 0
    while done < kills:
        process = start(model, out, settings, call, resume=(out / "config.toml").exists())
        target = draw.randint(1, settings["steps"] - 1)
        # killed at a random moment after a random step has been logged
        while process.poll() is None and len(Run(out).metrics) < target:
            time.sleep(0.005)
        time.sleep(draw.random() * 0.05)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            done += 1
        process.communicate()
        if (out / "model").exists():
            break
    if not (out / "model").exists():
        finish(start(model, out, settings, call, resume=True))
    assert done > 0
    whole, killed = Run(tmp_path / "whole"), Run(out)
    if "resample" in settings:
        assert len({row["groups_rolled"] for row in whole.metrics}) > 1
    assert timeless(killed.metrics) == timeless(whole.metrics)
    files = sorted(path.name for path in whole.model.glob("*.safetensors"))
    assert files == sorted(path.name for path in killed.model.glob("*.safetensors"))
    for name in files:
        assert (whole.model / name).read_bytes() == (killed.model / name).read_bytes()


def test_killed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, kills=3, seed=0, settings=SETTINGS | SELECTING)


@pytest.mark.parametrize("value", ["shared", "separate"])
def test_a_killed_actor_critic_ends_with_the_same_bits(tmp_path: Path, value: str) -> None:
    """Values, adaptive KL and the cursor of the pretraining rows are where they were."""
    settings = SETTINGS | {"steps": 12, "value_lr": 2e-3}
    kill_and_resume(tmp_path, kills=2, seed=1, settings=settings, call=PPO_CALL.replace("VALUE", value))
    rows = Run(tmp_path / "whole").metrics
    assert len({row["beta"] for row in rows}) > 3
    assert len({row["ptx"] for row in rows}) == 12
    name = "value_head" if value == "shared" else "value_model"
    assert (tmp_path / "whole" / "model" / f"{name}.safetensors").is_file()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("more", [{}, SELECTING], ids=["all", "selecting"])
def test_killed_run_ends_with_the_same_bits_often(tmp_path: Path, seed: int, more: dict[str, Any]) -> None:
    kill_and_resume(tmp_path, kills=4, seed=100 + seed, settings=SETTINGS | more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("finished")
    model = toy.tiny_model(folder / "base")
    train(str(model), toy.Echo(), GRPO(), out=str(folder / "run"), steps=2, prompts=2, samples=2, max_tokens=3)
    return model, folder / "run"


def test_a_second_run_never_overwrites_the_first(finished: tuple[Path, Path]) -> None:
    model, out = finished
    before = (out / "metrics.jsonl").read_bytes()
    with pytest.raises(HoneError, match=r"a run in this folder already.*--resume"):
        train(str(model), toy.Echo(), GRPO(), out=str(out), steps=2, prompts=2, samples=2, max_tokens=3)
    assert (out / "metrics.jsonl").read_bytes() == before


def test_resuming_a_finished_run_says_so(finished: tuple[Path, Path]) -> None:
    model, out = finished
    with pytest.raises(HoneError, match="finished"):
        train(
            str(model),
            toy.Echo(),
            GRPO(),
            out=str(out),
            resume=True,
            steps=2,
            prompts=2,
            samples=2,
            max_tokens=3,
        )


def test_resuming_with_a_changed_recipe_names_the_key(finished: tuple[Path, Path]) -> None:
    model, out = finished
    with pytest.raises(HoneError, match=r"recipe has changed.*algorithm\.clip_high.*0\.28.*0\.2"):
        train(
            str(model),
            toy.Echo(),
            GRPO(clip_high=0.28),
            out=str(out),
            resume=True,
            steps=2,
            prompts=2,
            samples=2,
            max_tokens=3,
        )


def test_resuming_nothing_is_refused(finished: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(HoneError, match="no run to resume"):
        train(str(finished[0]), toy.Echo(), GRPO(), out=str(tmp_path / "none"), resume=True)
