"""What the reproductions of acting agents share: a tiny base model, and playing held-out episodes.

Dimensions: T steps, N runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hone.algorithms.base import Algorithm
from hone.core.types import Trajectory
from hone.engines.base import Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.envs.acting.task import ActingTask
from hone.evaluate.playing import played_out
from hone.models.config import ModelConfig
from hone.models.policy import Policy
from hone.models.tiny import TinyConfig
from hone.report.charts import Series, over_seeds
from hone.tabular.bandits import History
from hone.tabular.bandits.base import Floats
from hone.training.fit import DataConfig, FitRecipe
from hone.training.recipe import BatchConfig, OptimiserConfig, Recipe, RunConfig
from hone.training.run import Run
from hone.training.stages import fit_stage, online_stage

LETTER = Sampling(max_tokens=1)
"""An answer in the compact form is one letter."""


@dataclass(frozen=True)
class Played:
    """Episodes of one length, by one player.

    Attributes:
        regret_T, coverage_T: mean cumulative regret and share of actions tried, after each step.
        gain: mean return, as the environment gives it.
        invalid: share of answers that named no legal action.
    """

    regret_T: Floats
    coverage_T: Floats
    gain: float
    invalid: float = 0.0

    @classmethod
    def of(cls, history: History, invalid: float = 0.0) -> Played:
        """The curves of a history."""
        return cls(history.regret, history.coverage, float(history.reward_TN.sum(axis=0).mean()), invalid)

    @property
    def regret(self) -> float:
        """At the end."""
        return float(self.regret_T[-1])

    @property
    def coverage(self) -> float:
        """At the end."""
        return float(self.coverage_T[-1])


def base_model(task: ActingTask, out: Path, seed: int, *, steps: int, layers: int, examples: int = 20000) -> Run:
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


def tuned(
    base: Run,
    task: ActingTask,
    algorithm: Algorithm,
    out: Path,
    seed: int,
    *,
    steps: int,
    batch: BatchConfig,
    optimiser: OptimiserConfig,
    sampling: Sampling = LETTER,
) -> Run:
    """The base fine-tuned by what its own episodes pay."""
    return online_stage(
        Recipe(
            ModelConfig(str(base.model)),
            task,
            algorithm,
            sampling,
            batch,
            optimiser,
            RunConfig(out=str(out), steps=steps, seed=seed, save_every=steps, rollouts_kept=4, reference_every=0),
        )
    )


def curves(found: Sequence[Mapping[str, Played]], names: Mapping[str, str], read: str) -> list[Series]:
    """A line per player over the steps of an episode, with its spread over seeds.

    Args:
        found: every player of every seed.
        names: which players, and what they are called.
        read: "regret_T" or "coverage_T".
    """
    lines = {title: [getattr(seed[name], read).tolist() for seed in found] for name, title in names.items()}
    return [over_seeds(title, range(1, len(each[0]) + 1), each) for title, each in lines.items()]


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
    """Curves over the steps of rolled-out episodes."""
    steps = [[(t.action, t.reward, t.regret or 0.0) for t in trajectory.info["history"]] for trajectory in found]
    action_TN, reward_TN, gap_TN = np.array(steps).transpose(2, 1, 0)
    history = History(action_TN.astype(np.int16), reward_TN, gap_TN, actions)
    return Played.of(history, mean_of(found, "invalid"))


def mean_of(found: Sequence[Trajectory], metric: str) -> float:
    """Mean of a metric over episodes."""
    return float(np.mean([t.metrics[metric] for t in found]))


def mean_over(values: Sequence[Mapping[str, float]], name: str) -> float:
    """Mean of a number over seeds."""
    return float(np.mean([each[name] for each in values]))
