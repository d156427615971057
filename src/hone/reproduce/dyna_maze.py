"""Dyna-Q in a maze: what planning is worth (Sutton and Barto, example 8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hone.envs.worlds.dyna_maze import DynaMaze
from hone.report.charts import curve, over_seeds
from hone.report.gridpictures import GridPanel, best_moves, grids
from hone.reproduce._tables import batches, greedy_walk
from hone.reproduce.base import Check, Picture, Reproduction
from hone.tabular.evaluation import evaluate_exact, random_policy
from hone.tabular.learning.dyna_q import DynaQ
from hone.tabular.learning.environments import ModelEnvironments
from hone.tabular.learning.policies import EpsilonGreedy
from hone.tabular.learning.prioritised_sweeping import PrioritisedSweeping
from hone.tabular.learning.values import Values
from hone.tabular.mdp import MDP, Floats, Ints
from hone.tabular.outcomes import mdp_of
from hone.tabular.planning import value_iteration

RUNS, EPISODES = {0: 200, 5: 100, 50: 30}, 50
"""Learners by planned updates; with fewer of them lengths vary more."""
GAMMA, STEP_SIZE, EPSILON = 0.95, 0.1, 0.1
SECOND = {0: (877.0, 270.0), 5: (150.0, 31.0), 50: (38.0, 9.0)}
"""Steps of the second episode, and two and a half standard errors of the target (a mean of 30 learners)."""
THIRD = {0: (541.0, 205.0), 5: (55.0, 19.0), 50: (17.0, 2.0)}
FIRST_SHORT = {0: (28.0, 2.0), 5: (6.0, 1.0), 50: (3.0, 0.0)}
"""First episode whose mean length is at most 20."""


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """``RUNS`` learners per seed and amount of planning."""
    world = DynaMaze()
    mdp = mdp_of(world)
    start = int(np.argmax(world.initial_state_distrib))
    hitting = _hitting_time(mdp)
    checks = [Check("mean steps of a random walk to the goal", float(hitting[start]), 868.7, 0.05)]
    lengths = {n: _lengths(world, n, seeds) for n in SECOND}
    for n, length_EN in lengths.items():
        mean = length_EN.mean(axis=1)
        checks += [
            Check(f"n = {n}, steps of episode 1", float(mean[0]), 868.7, 2.5 * 752 / length_EN.shape[1] ** 0.5),
            Check(f"n = {n}, steps of episode 2", float(mean[1]), *SECOND[n]),
            Check(f"n = {n}, steps of episode 3", float(mean[2]), *THIRD[n]),
            Check(
                f"n = {n}, first episode of at most 20 steps",
                float(np.argmax(mean <= 20) + 1),
                *FIRST_SHORT[n],
            ),
            Check(f"n = {n}, steps at the end", float(mean[-10:].mean()), 17.0, 1.5),
        ]
    swept = _lengths(world, None, seeds)
    best = value_iteration(mdp, GAMMA)
    path = greedy_walk(world, best.policy_S)
    checks.append(Check("steps of the shortest way", float(len(path) - 1), 14.0, 0.0))
    episodes = list(range(2, EPISODES + 1))
    lines = [over_seeds(f"n = {n}", episodes, length_EN[1:].T.tolist()) for n, length_EN in lengths.items()]
    lines.append(over_seeds("swept", episodes, swept[1:].T.tolist()))
    second = {n: float(length_EN[1].mean()) for n, length_EN in lengths.items()}
    return Reproduction(
        title="Dyna maze",
        headline=f"After one success, the second episode takes {second[0]:.0f} steps without planning, "
        f"{second[5]:.0f} "
        f"with 5 planned updates a step and {second[50]:.0f} with 50.",
        summary={
            "runs": {str(n): runs * len(seeds) for n, runs in RUNS.items()},
            "steps per episode": {str(n): length_EN.mean(axis=1).tolist() for n, length_EN in lengths.items()},
            "prioritised sweeping": swept.mean(axis=1).tolist(),
        },
        checks=checks,
        pictures=(
            Picture(
                "Learning",
                curve(
                    lines,
                    title="Steps per episode",
                    unit="mean over learners, 95 % interval; the first episode is left out",
                    x_label="episode",
                    log=True,
                    size=(7.2, 3.6),
                ),
                "n planned updates per real step; swept: prioritised sweeping with 5. All end near 17 "
                "steps: the "
                "shortest way is 14, the rest is exploration.",
            ),
            Picture(
                "The maze",
                grids(
                    [
                        GridPanel(
                            "Optimal values, best moves, a shortest way",
                            world.layout,
                            best.value_S,
                            best_moves(mdp.q_values(best.value_S, GAMMA), world.layout),
                            path,
                        )
                    ],
                    cell=0.62,
                ),
            ),
        ),
        notes=(
            "Before the first success nothing is learnt, so with random ties the first episode is a "
            "random walk for "
            f"every n: {hitting[start]:.1f} steps on average, by a linear solve. The mean of 30 such "
            f"walks varies by "
            "some 150 steps. Accounts that quote longer first episodes break ties otherwise.",
        ),
    )


def _hitting_time(mdp: MDP) -> Floats:
    """Expected steps of the uniform policy until the end: its value where every step pays 1."""
    paid = MDP(
        mdp.transition,
        np.where(mdp.terminal_S, 0.0, np.ones_like(mdp.reward_AS)),
        mdp.terminal_S,
        mdp.allowed_AS,
    )
    return evaluate_exact(paid, random_policy(paid), 1.0).value_S


def _lengths(world: DynaMaze, planning: int | None, seeds: Sequence[int]) -> Ints:
    """[episodes, learners] steps; None is prioritised sweeping."""

    def make(environments: ModelEnvironments, rng: np.random.Generator) -> Values:
        policy = EpsilonGreedy(EPSILON)
        if planning is None:
            return PrioritisedSweeping(environments, GAMMA, 0.5, policy, rng, planning=5)
        return DynaQ(environments, GAMMA, STEP_SIZE, policy, rng, planning)

    found = [
        runner.episodes(EPISODES).length_EN
        for runner, _, _ in batches(
            world, make, RUNS[50 if planning is None else planning], seeds, f"dyna maze {planning}"
        )
    ]
    return np.concatenate(found, axis=1)
