"""GRPO by hone on the quickstart's task; passes the gate after every few steps with a snapshot of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.speed.channel import Channel
from hone.algorithms.grpo import GRPO
from hone.engines.base import Sampling
from hone.models.policy import Policy, load
from hone.reproduce.quickstart import TASK
from hone.training.online import train_online
from hone.training.recipe import BatchConfig, OptimiserConfig, Recipe, RunConfig
from hone.training.run import Run


@dataclass(frozen=True)
class SnapshotRun(Run):
    """A run directory that writes the weights down and passes the gate after every ``every`` steps."""

    channel: Channel
    policy: Policy
    every: int
    snapshots: Path
    tokens: list[float] = field(default_factory=list)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        super().log(step, metrics)
        self.tokens.append(metrics["tokens"])
        if step % self.every == 0:
            folder = self.snapshots / f"step-{step}"
            with self.channel.uncounted():
                self.policy.save(folder)
            made = int(sum(self.tokens[-self.every :]))
            self.channel.gate(snapshot=str(folder), tokens=made, reward=metrics["reward"])


def run(channel: Channel, model: str, questions: str, every: int, seed: int, snapshots: str) -> None:
    policy = load(model)
    out = Path(snapshots) / "run"
    config = RunConfig(out=str(out), steps=10_000, seed=seed, save_every=10_000, rollouts_every=0, reference_every=0)
    recipe = Recipe(
        policy.config,
        TASK,
        GRPO(),
        Sampling(max_tokens=8),
        BatchConfig(32, 16),
        OptimiserConfig(lr=3e-4, betas=(0.9, 0.999)),
        config,
    )
    channel.gate()
    train_online(recipe, policy, SnapshotRun(out, channel, policy, every, Path(snapshots)))
