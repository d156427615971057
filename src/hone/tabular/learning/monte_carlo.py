"""Monte Carlo credit: the whole return of an episode, on-policy; prediction and control."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hone.tabular.learning.base import Environments, Transition
from hone.tabular.learning.policies import Policy
from hone.tabular.learning.values import Values
from hone.tabular.mdp import Bools


class MonteCarlo(Values):
    """``v(x) ← v(x) + α (G − v(x))`` for the visited entries x, after each episode, last step first.

    Over actions with an ε-greedy behaviour it is on-policy Monte Carlo control, over states prediction. The
    runs wait for each other at the end of an episode, which keeps the arithmetic in arrays; a truncated
    episode counts as ended.

    Args:
        first_visit: credit only the first visit to an entry in an episode.
    """

    lock_step = True

    def __init__(
        self,
        environments: Environments,
        gamma: float,
        step_size: float | Literal["average"],
        policy: Policy,
        rng: np.random.Generator,
        over_actions: bool = True,
        first_visit: bool = False,
        initial: float = 0.0,
    ) -> None:
        super().__init__(environments, gamma, step_size, policy, rng, over_actions, 1, initial)
        self.first_visit = first_visit
        self.steps: list[Transition] = []

    def learn(self, transition: Transition) -> None:
        """Remember the step."""
        self.steps.append(transition)

    def end_episodes(self) -> None:
        """Walk back through the episodes of all runs together."""
        first = self.first_visits() if self.first_visit else None
        return_N = np.zeros(self.runs)
        for time in reversed(range(len(self.steps))):
            step = self.steps[time]
            return_N[step.run] = step.reward + self.gamma * return_N[step.run]
            place = self.index(step.run, step.state, step.action)
            due = slice(None) if first is None else first[time]
            self.towards(place[due], return_N[step.run][due])
        self.steps.clear()

    def first_visits(self) -> list[Bools]:
        """For each remembered step, [K] whether its entry had not been visited before in the episode."""
        seen = np.zeros(self.flat.shape, dtype=bool)
        masks = []
        for step in self.steps:
            place = self.index(step.run, step.state, step.action)
            masks.append(~seen[place])
            seen[place] = True
        return masks
