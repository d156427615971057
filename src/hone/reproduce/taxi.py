"""Taxi and Cliff Walking of Gymnasium: exact optima, and Q-learning on the way to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gymnasium
import numpy as np

from hone.report.charts import Series, curve
from hone.report.style import number
from hone.reproduce._tables import batches
from hone.reproduce.base import Check, Picture, Reproduction
from hone.tabular.evaluation import evaluate_steps, random_policy
from hone.tabular.learning.one_step import OneStep
from hone.tabular.learning.policies import EpsilonGreedy
from hone.tabular.learning.rules.q_learning import QLearning
from hone.tabular.outcomes import mdp_of
from hone.tabular.planning import value_iteration

RUNS, EPISODES, LIMIT = 20, 300, 200


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Exact values, and learning curves of ``RUNS`` learners per seed."""
    taxi = gymnasium.make("Taxi-v4")
    mdp = mdp_of(taxi)
    start = np.pad(taxi.unwrapped.initial_state_distrib, (0, 1))  # type: ignore[attr-defined]
    value_S = value_iteration(mdp, 1.0).value_S
    reachable = value_S[start > 0]
    discounted = float(start @ value_iteration(mdp, 0.99).value_S)
    wandering = float(start @ evaluate_steps(mdp, random_policy(mdp), 1.0, LIMIT))
    cliff = mdp_of(gymnasium.make("CliffWalking-v1"))
    cliff_start = 36
    checks = [
        Check("Taxi, mean optimal return", float(start @ value_S), 7.93, 1e-4),
        Check("Taxi, worst start", float(reachable.min()), 3.0, 1e-4),
        Check("Taxi, best start", float(reachable.max()), 15.0, 1e-4),
        Check("Taxi, discount 0.99", discounted, 6.3275, 1e-4),
        Check("Taxi, random policy over 200 steps", wandering, -771.0, 0.5),
        Check("Cliff Walking", float(value_iteration(cliff, 1.0).value_S[cliff_start]), -13.0, 1e-4),
        Check(
            "Cliff Walking, discount 0.99",
            float(value_iteration(cliff, 0.99).value_S[cliff_start]),
            -12.2479,
            1e-4,
        ),
    ]
    returns = []
    for runner, _, _ in batches(
        taxi,
        lambda environments, rng: OneStep(environments, QLearning(), 1.0, 0.5, EpsilonGreedy(0.0), rng),
        RUNS,
        seeds,
        "taxi",
        LIMIT,
    ):
        returns.append(runner.episodes(EPISODES).return_EN)
    mean_E = np.concatenate(returns, axis=1).mean(axis=1)
    episodes = list(range(1, EPISODES + 1))
    return Reproduction(
        title="Taxi",
        headline=f"The mean optimal return is {start @ value_S:.2f}; Q-learning reaches "
        f"{number(float(mean_E[-50:].mean()))} in {EPISODES} episodes.",
        summary={
            **{check.name: check.value for check in checks},
            "Q-learning, last 50 episodes": float(mean_E[-50:].mean()),
        },
        checks=checks,
        pictures=(
            Picture(
                "Q-learning on Taxi",
                curve(
                    [
                        Series("Q-learning", episodes, mean_E.tolist()),
                        Series("optimum", episodes, [float(start @ value_S)] * EPISODES),
                    ],
                    title="Return per episode",
                    unit=f"mean of {RUNS * len(seeds)} learners",
                    x_label="episode",
                    limits=(-300.0, 30.0),
                    size=(6.4, 3.2),
                ),
                "Step size 0.5, no random actions: values that start at 0 are optimistic here, which explores enough.",
            ),
        ),
        notes=(
            "Gymnasium's threshold for Taxi, a mean return of 8, lies above the mean of the optimum, "
            "7.93: it cannot "
            "be reached on average and must not gate a test.",
        ),
    )
