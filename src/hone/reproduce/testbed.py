"""The 10-armed testbed of Sutton and Barto (2018, chapter 2): reward and share of optimal pulls over 1,000
steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hone.envs.arms import Gaussian
from hone.envs.bandit import Bandits
from hone.report.charts import Series, curve
from hone.reproduce.base import Check, Picture, Reproduction
from hone.tabular.bandits import (
    UCB,
    EpsilonGreedy,
    GradientBandit,
    Greedy,
    Optimistic,
    ThompsonGaussian,
    play,
)
from hone.tabular.bandits.base import Agent

RUNS, ARMS, STEPS, LAST = 6_000, 10, 1_000, 50
_CHUNK = 2_000  # runs side by side: what fits the cache

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Experiment:
    """One line of the figures.

    Attributes:
        name: its label.
        agent: who plays.
        optimal: target share of optimal pulls over the last 50 steps, in per cent; NaN has none.
        reward: target mean reward over the last 50 steps; NaN has none.
        centre: mean of the arms' means (4 in the gradient bandit's figure: a baseline must find it).
    """

    name: str
    agent: Agent
    optimal: float = math.nan
    reward: float = math.nan
    centre: float = 0.0


FIGURES: dict[str, tuple[str, tuple[Experiment, ...]]] = {
    "Greedy and ε-greedy": (
        "The greedy agent settles on the first arm that pays above 0. A little exploration (0.01) is slow "
        "but is still rising at the end; ε = 0.1 finds the best arm sooner and then errs in a tenth of "
        "its pulls for good.",
        (
            Experiment("greedy", Greedy(), 35.5, 1.02),
            Experiment("ε = 0.01", EpsilonGreedy(0.01), 59.0, 1.30),
            Experiment("ε = 0.1", EpsilonGreedy(0.1), 80.2, 1.366),
        ),
    ),
    "Exploring by uncertainty": (
        "Upper bounds and posterior draws try what is little known. The spike at step 11: by then UCB has "
        "pulled each arm once, and all runs take the arm that paid most.",
        (
            Experiment("UCB c = 2", UCB(2.0), 85.7, 1.483),
            Experiment("UCB c = 1", UCB(1.0), 92.3, 1.52),
            Experiment("Thompson", ThompsonGaussian()),
        ),
    ),
    "Optimistic initial values": (
        "With Q = 5 every arm disappoints, so all are tried; a constant step size forgets the optimism.",
        (
            Experiment("optimistic", Optimistic(), 86.9),
            Experiment("ε = 0.1, α = 0.1", EpsilonGreedy(0.1, step_size=0.1), 76.8),
        ),
    ),
    "Gradient bandit": (
        "Arms that pay about 4. Without a baseline every pull raises its own probability, good or bad: "
        "the same lesson that later gives REINFORCE, PPO and GRPO their baselines.",
        (
            Experiment("α = 0.1", GradientBandit(0.1), 84.1, centre=4.0),
            Experiment("α = 0.4", GradientBandit(0.4), 66.9, centre=4.0),
            Experiment("α = 0.1, no baseline", GradientBandit(0.1, "none"), 49.9, centre=4.0),
            Experiment("α = 0.4, no baseline", GradientBandit(0.4, "none"), 27.8, centre=4.0),
        ),
    ),
}
"""Title of a figure -> what to see in it, and its lines."""


def measure(experiment: Experiment, seeds: Sequence[int], runs: int = RUNS) -> tuple[Floats, Floats]:
    """Mean reward [T] and share of optimal pulls [T] over ``runs`` bandits per seed."""
    family = Gaussian(centre=experiment.centre)
    reward_T, optimal_T = np.zeros(STEPS), np.zeros(STEPS)
    for seed in seeds:
        for first in range(0, runs, _CHUNK):
            episodes = range(first, min(first + _CHUNK, runs))
            history = play(experiment.agent, Bandits(family, ARMS, episodes, seed=seed), STEPS, seed=seed)
            reward_T += history.reward_TN.sum(axis=1)
            optimal_T += (history.gap_TN == 0).sum(axis=1)
    return reward_T / (runs * len(seeds)), optimal_T / (runs * len(seeds))


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """All agents on the testbed, ``RUNS`` bandits per seed; about 15 seconds per seed."""
    checks: list[Check] = []
    pictures: list[Picture] = []
    rows: list[dict[str, object]] = []
    for title, (caption, experiments) in FIGURES.items():
        measured = [measure(experiment, seeds) for experiment in experiments]
        for experiment, (reward_T, optimal_T) in zip(experiments, measured, strict=True):
            share, reward = 100 * float(optimal_T[-LAST:].mean()), float(reward_T[-LAST:].mean())
            label = experiment.name if experiment.centre == 0 else f"gradient {experiment.name}"
            rows.append({"agent": label, "optimal %": round(share, 1), "reward": round(reward, 3)})
            if not math.isnan(experiment.optimal):
                checks.append(Check(f"{label}: optimal pulls, %", share, experiment.optimal, 2.0))
            if not math.isnan(experiment.reward):
                checks.append(Check(f"{label}: reward", reward, experiment.reward, 0.04))
        if title == "Exploring by uncertainty":
            checks += _spike(*measured[0])
        pictures += [_picture(title, caption, experiments, measured, of) for of in (0, 1)]
    best = max(rows, key=lambda row: float(str(row["optimal %"])))
    return Reproduction(
        title="10-armed testbed",
        headline=(
            f"{best['agent']} pulls the best arm {best['optimal %']} % of the time at the end, greedy "
            f"{rows[0]['optimal %']} %."
        ),
        summary={"runs": RUNS * len(seeds), "steps": STEPS, "arms": ARMS, "agents": rows},
        checks=checks,
        pictures=pictures,
        notes=(
            f"{RUNS * len(seeds):,} runs. Arms pay Normal(μ, 1) with μ ~ Normal(0, 1) (gradient: around 4). "
            "The table is over the last 50 steps. The best of ten such arms is worth 1.539 on average.",
            "The gradient bandit's baseline is the mean of the rewards before the present one. With this one "
            "included α = 0.4 reaches about 73 %, because the first step is then none, not a large one.",
        ),
        tables={"Last 50 steps": rows},
    )


def _spike(reward_T: Floats, optimal_T: Floats) -> list[Check]:
    """Step 11 of UCB: each arm was pulled once, the bonus is equal, so all take the best first reward.

    The targets are the mean and the share of the best of ten single pulls, over 400,000 other bandits.
    """
    return [
        Check("UCB c = 2: reward at step 11", float(reward_T[10]), 1.087, 0.04),
        Check("UCB c = 2: optimal pulls at step 11, %", 100 * float(optimal_T[10]), 43.1, 2.0),
    ]


def _picture(
    title: str,
    caption: str,
    experiments: Sequence[Experiment],
    measured: Sequence[tuple[Floats, Floats]],
    of: int,
) -> Picture:
    """One chart of rewards (``of`` 0) or of optimal shares (``of`` 1)."""
    steps = list(range(1, STEPS + 1))
    scale = 100.0 if of else 1.0
    lines = [
        Series(experiment.name, steps, (scale * curves[of]).tolist())
        for experiment, curves in zip(experiments, measured, strict=True)
    ]
    what, unit = ("Optimal pulls", "% of runs") if of else ("Reward", "mean over runs")
    chart = curve(lines, title=what, unit=unit, limits=(0, 100) if of else (None, None), size=(6.4, 3.0))
    return Picture(f"{title}: {what.lower()}", chart, caption if not of else "")
