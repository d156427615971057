"""Whole steps of hone's online loop, through ``hone.train`` and a run directory as everybody uses them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.channel import Channel
from hone.core.config import build_named
from hone.engines.base import Sampling
from hone.envs.tasks.questions import Questions
from hone.models.config import ModelConfig, ValueConfig
from hone.models.policy import load
from hone.training.online import train_online
from hone.training.recipe import PACKAGES, BatchConfig, OptimiserConfig, Recipe, RunConfig
from hone.training.run import Run


@dataclass(frozen=True)
class GatedRun(Run):
    """A run directory whose every line of metrics passes the channel's gate: that is once a step, at its end."""

    channel: Channel

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        super().log(step, metrics)
        self.channel.gate(**metrics)


def run(
    channel: Channel,
    model: str,
    questions: str,
    prompts: int,
    samples: int,
    algorithm: Mapping[str, Any],
    dtype: str = "float32",
    value: Mapping[str, Any] | None = None,
    batch: Mapping[str, Any] | None = None,
) -> None:
    policy = load(ModelConfig(model, dtype=dtype, value=ValueConfig(**(value or {}))))
    task = Questions(questions, test_fraction=0, graders=("benchmarks.speed.reward:even_share",))
    out = Path(tempfile.mkdtemp()) / "run"
    # What TRL does not do is switched off: measuring the KL without need of it, keeping samples, saving.
    config = RunConfig(out=str(out), steps=100_000, save_every=100_000, rollouts_every=0, reference_every=0)
    recipe = Recipe(
        policy.config,
        task,
        build_named(algorithm, PACKAGES["algorithm"], "algorithm", "[algorithm]"),
        Sampling(max_tokens=64),
        BatchConfig(prompts, samples, **(batch or {})),
        OptimiserConfig(lr=1e-6, betas=(0.9, 0.999)),
        config,
    )
    train_online(recipe, policy, GatedRun(out, channel))
