"""n-step credit: the next n rewards, then the bootstrap (Watkins 1989; Sutton and Barto, chapter 7)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hone.core.errors import HoneError
from hone.tabular.learning.base import Environments, Transition
from hone.tabular.learning.one_step import OneStep
from hone.tabular.learning.policies import Policy
from hone.tabular.learning.rules.base import Rule


class NStep(OneStep):
    """n-step TD and the n-step form of every rule; with n = 1 it equals :class:`OneStep`.

    With Q-learning's rule the return is not corrected for exploratory actions inside it (as in A3C's n-step
    Q).

    Attributes:
        filled_N: steps of each run that have not been credited yet (fewer than n).
    """

    def __init__(
        self,
        environments: Environments,
        rule: Rule,
        n: int,
        gamma: float,
        step_size: float | Literal["average"],
        policy: Policy,
        rng: np.random.Generator,
        initial: float = 0.0,
    ) -> None:
        if n < 1:
            raise HoneError("n-step credit needs at least one step", got=f"n = {n}", expected="1 or more")
        super().__init__(environments, rule, gamma, step_size, policy, rng, initial)
        self.n = n
        self.filled_N = np.zeros(self.runs, dtype=np.int64)
        self.state_Nn, self.action_Nn = np.zeros((2, self.runs, n), dtype=np.int64)
        self.reward_Nn = np.zeros((self.runs, n))

    def learn(self, transition: Transition) -> None:
        """Keep the step; credit the one that is n steps back, or at an episode's end all that are kept."""
        run = transition.run
        last = self.filled_N[run]
        self.state_Nn[run, last], self.action_Nn[run, last] = transition.state, transition.action
        self.reward_Nn[run, last] = transition.reward
        filled_K = last + 1
        ended_K = transition.terminated | transition.truncated
        row_K, judge_K = self.rows_to_learn(run)
        credit_K = self.rule.bootstrap(self, row_K, judge_K, transition) * ~transition.terminated
        return_nK = np.zeros((self.n, len(run)))
        for back in reversed(range(self.n)):
            credit_K = np.where(back < filled_K, self.reward_Nn[run, back] + self.gamma * credit_K, credit_K)
            return_nK[back] = credit_K
        for back in range(self.n):
            due = (ended_K & (back < filled_K)) | ((filled_K == self.n) & (back == 0))
            if due.any():
                place = self.index(row_K[due], self.state_Nn[run[due], back], self.action_Nn[run[due], back])
                self.towards(place, return_nK[back, due])
        full = run[(filled_K == self.n) & ~ended_K]
        for buffer in (self.state_Nn, self.action_Nn, self.reward_Nn):
            buffer[full, :-1] = buffer[full, 1:]
        self.filled_N[run] = np.where(ended_K, 0, np.minimum(filled_K, self.n - 1))
