"""Off-policy Monte Carlo: returns of one policy, weighted into values of another by importance sampling."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hone.core.errors import HoneError
from hone.tabular.learning.base import Environments, Transition
from hone.tabular.learning.monte_carlo import MonteCarlo
from hone.tabular.learning.policies import Policy
from hone.tabular.mdp import Bools, Floats


class OffPolicyMonteCarlo(MonteCarlo):
    """Values of ``target`` from episodes of ``policy``: prediction, or control where the target is greedy.

    With ``W`` the product of ``π(a|s)/b(a|s)`` over the steps that count:

    - ordinary: the mean of ``W·G`` over visits: unbiased, its variance may be infinite;
    - weighted: the mean of ``G`` weighted by ``W``: biased towards what was seen, and finite.

    The value of a state counts its own step's ratio, the value of an action does not (the action is given).

    Args:
        target: the policy that is evaluated; reads the current table, so ``EpsilonGreedy(0)`` gives control.
        weighting: ordinary or weighted.

    Raises:
        HoneError: during learning, if the behaviour takes an action to which it gives no probability.
    """

    def __init__(
        self,
        environments: Environments,
        gamma: float,
        policy: Policy,
        target: Policy,
        rng: np.random.Generator,
        weighting: Literal["ordinary", "weighted"] = "weighted",
        over_actions: bool = True,
        first_visit: bool = False,
        initial: float = 0.0,
    ) -> None:
        super().__init__(environments, gamma, "average", policy, rng, over_actions, first_visit, initial)
        self.target, self.weighting = target, weighting
        self.behaviour: list[Floats] = []

    def learn(self, transition: Transition) -> None:
        """Remember the step and how likely the behaviour was to take it."""
        q_KA = self.action_values(transition.run, transition.state)
        chances = self.policy.probabilities(q_KA, transition.state)
        chance_K = chances[np.arange(len(chances)), transition.action]
        if not (chance_K > 0).all():
            raise HoneError("the behaviour took an action that it gives no probability", do="check its table")
        self.behaviour.append(chance_K)
        super().learn(transition)

    def end_episodes(self) -> None:
        """Walk back through the episodes of all runs together; a weight of 0 ends what one can teach."""
        first = self.first_visits() if self.first_visit else None
        return_N, weight_N = np.zeros(self.runs), np.ones(self.runs)
        for time in reversed(range(len(self.steps))):
            step, run = self.steps[time], self.steps[time].run
            return_N[run] = step.reward + self.gamma * return_N[run]
            chances = self.target.probabilities(self.action_values(run, step.state), step.state)
            ratio_K = chances[np.arange(len(run)), step.action] / self.behaviour[time]
            weight_K = weight_N[run] * (1.0 if self.over_actions else ratio_K)
            due = np.ones(len(run), dtype=bool) if first is None else first[time]
            self._credit(step, weight_K, return_N[run], due)
            if self.over_actions and self.weighting == "weighted":
                # Control: the target may have moved by this very update (Sutton and Barto, 5.7).
                chances = self.target.probabilities(self.action_values(run, step.state), step.state)
                ratio_K = chances[np.arange(len(run)), step.action] / self.behaviour[time]
            weight_N[run] *= ratio_K
        self.steps.clear()
        self.behaviour.clear()

    def _credit(self, step: Transition, weight_K: Floats, return_K: Floats, due: Bools) -> None:
        place = self.index(step.run, step.state, step.action)
        if self.weighting == "ordinary":
            self.towards(place[due], (weight_K * return_K)[due])
            return
        due = due & (weight_K > 0)
        place, weight = place[due], weight_K[due]
        self.count[place] += weight
        self.flat[place] += weight / self.count[place] * (return_K[due] - self.flat[place])
