"""What the reproductions of acting agents share: a tiny base model, and playing held-out episodes.

Dimensions: T steps, N runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hone.core.types import Trajectory
from hone.engines.base import Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.envs.acting.base import Transition
from hone.envs.acting.task import ActingTask
from hone.evaluate.playing import played_out
from hone.models.policy import Policy
from hone.models.tiny import TinyConfig
from hone.tabular.bandits.base import Floats
from hone.training.fit import DataConfig, FitRecipe
from hone.training.recipe import OptimiserConfig, RunConfig
from hone.training.run import Run
from hone.training.stages import fit_stage

LETTER = Sampling(max_tokens=1)
"""An answer in the compact form is one letter."""


@dataclass(frozen=True)
class Played:
    """Held-out episodes of one player.

    Attributes:
        regret_T, coverage_T: mean cumulative regret and share of actions tried, after each step.
        invalid: share of answers that named no legal action.
        gain: mean return, as the environment gives it.
    """

    regret_T: Floats
    coverage_T: Floats
    invalid: float
    gain: float

    @property
    def regret(self) -> float:
        """At the end."""
        return float(self.regret_T[-1])

    @property
    def coverage(self) -> float:
        """At the end."""
        return float(self.coverage_T[-1])


def base_model(
    task: ActingTask, out: Path, seed: int, *, steps: int, layers: int, examples: int = 20000
) -> Run:
    """A tiny model that has read the task's corpus."""
    return fit_stage(
        FitRecipe(
            DataConfig(task=task, examples=examples),
            tiny=TinyConfig(architecture="gpt2", width=64, layers=layers, heads=4, max_length=128),
            rows=64,
            optimiser=OptimiserConfig(lr=3e-3, warmup=50, schedule="linear"),
            run=RunConfig(out=str(out / "base"), steps=steps, seed=seed, save_every=steps),
        )
    )


def played(
    policy: Policy, task: ActingTask, *, episodes: int, samples: int = 1, sampling: Sampling = LETTER, seed: int = 0
) -> list[Trajectory]:
    """Roll out held-out episodes, each ``samples`` times."""
    engine = EmbeddedEngine.of(policy)
    engine.sync(0)
    which = [episode for episode in range(episodes) for _ in range(samples)]
    turns = list(range(samples)) * episodes
    return played_out(engine, policy, task, sampling, which, turns, seed)


def summed_up(found: Sequence[Trajectory], actions: int) -> Played:
    """Curves over steps of episodes of one length."""
    histories: list[list[Transition]] = [t.info["history"] for t in found]
    gap_TN = np.array([[step.regret or 0.0 for step in history] for history in histories]).T
    tried_TN = np.zeros_like(gap_TN)
    for n, history in enumerate(histories):
        seen: set[int] = set()
        for t, step in enumerate(history):
            seen.add(step.action)
            tried_TN[t, n] = len(seen) / actions
    return Played(
        regret_T=gap_TN.cumsum(axis=0).mean(axis=1),
        coverage_T=tried_TN.mean(axis=1),
        invalid=mean_of(found, "invalid"),
        gain=mean_of(found, "return"),
    )


def mean_of(found: Sequence[Trajectory], metric: str) -> float:
    """Mean of a metric over episodes."""
    return float(np.mean([t.metrics[metric] for t in found]))


def mean_over(values: Sequence[Mapping[str, float]], name: str) -> float:
    """Mean of a number over seeds."""
    return float(np.mean([each[name] for each in values]))
