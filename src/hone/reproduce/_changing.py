"""What the blocking and the shortcut maze share: Dyna-Q beside Dyna-Q+ in a maze that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hone.envs.worlds.blocking_maze import ChangingMaze
from hone.report.charts import curve, over_seeds
from hone.report.gridpictures import GridPanel, best_moves, grids
from hone.reproduce._tables import batches, greedy_walk
from hone.reproduce.base import Check, Picture
from hone.tabular.learning.dyna_q import DynaQ
from hone.tabular.learning.policies import EpsilonGreedy
from hone.tabular.mdp import Floats
from hone.tabular.outcomes import Outcomes, mdp_of
from hone.tabular.planning import value_iteration

RUNS, GAMMA, EPSILON = 30, 0.95, 0.1


@dataclass(frozen=True)
class Change:
    """One experiment.

    Attributes:
        name: keys the randomness.
        world: the maze; its ``switch`` says when it changes.
        steps: length of the experiment.
        planning: planned updates per step.
        bonus: κ of Dyna-Q+.
        step_size: α.
    """

    name: str
    world: ChangingMaze
    steps: int
    planning: int
    bonus: float
    step_size: float = 1.0

    def rewards(self, bonus: float, seeds: Sequence[int]) -> Floats:
        """[steps, learners] cumulative reward."""
        found = []
        for runner, environments, _ in batches(
            self.world.before,
            lambda e, rng: DynaQ(e, GAMMA, self.step_size, EpsilonGreedy(EPSILON), rng, self.planning, bonus),
            RUNS,
            seeds,
            f"{self.name} {bonus}",
        ):
            first = runner.steps(self.world.switch).reward_TN
            environments.use(Outcomes.of(self.world.after))
            found.append(np.concatenate([first, runner.steps(self.steps - self.world.switch).reward_TN]))
        return np.concatenate(found, axis=1).cumsum(axis=0)

    def checks(
        self, agent: str, total: Floats, targets: tuple[float, float], tolerance: tuple[float, float]
    ) -> list[Check]:
        """Mean cumulative reward at the change and at the end."""
        moments = (self.world.switch, self.steps)
        return [
            Check(f"{agent}, reward by step {moment}", float(total[moment - 1].mean()), target, allowed)
            for moment, target, allowed in zip(moments, targets, tolerance, strict=True)
        ]

    def pictures(self, totals: dict[str, Floats]) -> tuple[Picture, Picture]:
        """The race, and the maze before and after with its optimal ways."""
        shown = np.arange(49, self.steps, 50)
        panels = []
        for title, maze in (
            (f"Until step {self.world.switch:,}", self.world.before),
            ("Afterwards", self.world.after),
        ):
            mdp = mdp_of(maze)
            best = value_iteration(mdp, GAMMA)
            moves = best_moves(mdp.q_values(best.value_S, GAMMA), maze.layout)
            way = greedy_walk(maze, best.policy_S)
            panels.append(
                GridPanel(f"{title}: {len(way) - 1} steps", maze.layout, best.value_S, moves, way, numbers=False)
            )
        learners = next(iter(totals.values())).shape[1]
        race = curve(
            [over_seeds(name, (shown + 1).tolist(), total[shown].T.tolist()) for name, total in totals.items()],
            title="Cumulative reward",
            unit=f"mean of {learners} learners, 95 % interval; the maze changes at step {self.world.switch:,}",
            x_label="steps",
            size=(7.2, 3.4),
        )
        return Picture("The race", race), Picture("The maze", grids(panels, cell=0.46))
