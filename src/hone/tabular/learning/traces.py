"""Credit by eligibility traces: TD(λ), SARSA(λ), Watkins's Q(λ) (Sutton 1988; Watkins 1989)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hone.core.errors import HoneError
from hone.tabular.learning.base import Environments, Transition
from hone.tabular.learning.one_step import OneStep
from hone.tabular.learning.policies import Policy
from hone.tabular.learning.rules.base import Rule
from hone.tabular.learning.rules.q_learning import QLearning


class Traces(OneStep):
    """``E ← γλE``, mark the entry that was left, ``v ← v + α δ E`` over the whole table.

    Traces end with the episode. With Q-learning's rule they are also cut after an action that is not the best
    one (Watkins).

    Args:
        trace: λ; 0 equals :class:`OneStep`, 1 is Monte Carlo spread over the episode.
        kind: a revisited entry's trace becomes ``E + 1`` (accumulating) or 1 (replacing).

    Raises:
        HoneError: λ outside [0, 1], a rule with two tables, or averaging step sizes.
    """

    def __init__(
        self,
        environments: Environments,
        rule: Rule,
        trace: float,
        gamma: float,
        step_size: float | Literal["average"],
        policy: Policy,
        rng: np.random.Generator,
        initial: float = 0.0,
        kind: Literal["accumulating", "replacing"] = "accumulating",
    ) -> None:
        if not 0 <= trace <= 1:
            raise HoneError("the trace decay is out of range", got=f"lambda = {trace}", expected="0 to 1")
        if rule.copies > 1 or step_size == "average":
            raise HoneError(
                "traces need one table and a constant step size",
                got=f"{type(rule).__name__}, step size {step_size}",
                do="use one-step or n-step credit",
            )
        super().__init__(environments, rule, gamma, step_size, policy, rng, initial)
        self.trace, self.kind, self.constant = trace, kind, float(step_size)
        self.cuts = isinstance(rule, QLearning)
        self.on_policy = rule.on_policy or self.cuts
        self.eligibility_NX = np.zeros((self.runs, self.states * self.width))

    def learn(self, transition: Transition) -> None:
        """Spread the temporal-difference error of this step over what led here."""
        run, place = transition.run, self.index(transition.run, transition.state, transition.action)
        following = self.rule.bootstrap(self, run, run, transition) * ~transition.terminated
        error_K = transition.reward + self.gamma * following - self.flat.take(place)
        eligibility = self.eligibility_NX[run] * (self.gamma * self.trace)
        entry = (np.arange(len(run)), place - run * eligibility.shape[1])
        eligibility[entry] = eligibility[entry] + 1 if self.kind == "accumulating" else 1.0
        table_NX = self.table.reshape(self.runs, -1)
        ended_K = transition.terminated | transition.truncated
        if self.cuts:
            next_KA = self.action_values(run, transition.next_state)
            ended_K = ended_K | (next_KA[entry[0], transition.next_action] < next_KA.max(axis=1))
        table_NX[run] += self.constant * error_K[:, None] * eligibility
        self.eligibility_NX[run] = eligibility * ~ended_K[:, None]
