"""SARSA on the windy grid (Sutton and Barto, example 6.5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hone.envs.worlds.windy import Windy
from hone.report.charts import curve, over_seeds
from hone.report.gridpictures import GridPanel, best_moves, grids
from hone.reproduce._tables import batches, greedy_walk
from hone.reproduce.base import Check, Picture, Reproduction
from hone.tabular.learning.one_step import OneStep
from hone.tabular.learning.policies import EpsilonGreedy
from hone.tabular.learning.rules.sarsa import Sarsa
from hone.tabular.outcomes import mdp_of
from hone.tabular.planning import value_iteration

RUNS, STEPS = 30, 8_000


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """``RUNS`` learners per seed for 8,000 steps, beside the exact optimum."""
    world = Windy()
    mdp = mdp_of(world)
    found = value_iteration(mdp, 1.0)
    start = int(np.argmax(world.initial_state_distrib))
    ended = [
        runner.steps(STEPS).ended_TN
        for runner, _, _ in batches(
            world,
            lambda environments, rng: OneStep(environments, Sarsa(), 1.0, 0.5, EpsilonGreedy(0.1), rng),
            RUNS,
            seeds,
            "windy",
        )
    ]
    count_TN = np.concatenate(ended, axis=1).cumsum(axis=0)
    episodes = float(count_TN[-1].mean())
    shown = np.arange(99, STEPS, 100)
    path = greedy_walk(world, found.policy_S)
    return Reproduction(
        title="Windy grid",
        headline=f"SARSA finishes {episodes:.0f} episodes in 8,000 steps; the shortest way takes "
        f"{-found.value_S[start]:.0f}.",
        summary={"shortest": float(-found.value_S[start]), "episodes": episodes, "runs": RUNS * len(seeds)},
        checks=(
            Check("steps of the shortest way", float(-found.value_S[start]), 15.0, 1e-4),
            Check("SARSA, episodes by 8,000 steps", episodes, 163.0, 6.0),
        ),
        pictures=(
            Picture(
                "Learning",
                curve(
                    [over_seeds("SARSA", (shown + 1).tolist(), count_TN[shown].T.tolist())],
                    title="Episodes finished",
                    unit=f"mean of {RUNS * len(seeds)} learners, 95 % interval",
                    x_label="steps",
                    size=(6.4, 3.2),
                ),
                "The slope rises until episodes take about 17 steps: 15 and the price of exploring.",
            ),
            Picture(
                "The optimum",
                grids(
                    [
                        GridPanel(
                            "Steps to go, best moves, a shortest way",
                            world.layout,
                            -found.value_S,
                            best_moves(mdp.q_values(found.value_S, 1.0), world.layout),
                            path,
                        )
                    ],
                    cell=0.62,
                ),
                "The wind blows upwards in columns 4 to 9; the way overshoots the goal and comes back from the right.",
            ),
        ),
    )
