"""One-step credit: ``v(s,a) ← v(s,a) + α (r + γ·bootstrap − v(s,a))`` after every step."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hone.tabular.learning.base import Environments, Transition
from hone.tabular.learning.policies import Policy
from hone.tabular.learning.rules.base import Rule
from hone.tabular.learning.values import Values


class OneStep(Values):
    """TD(0), SARSA, expected SARSA, Q-learning, double Q-learning, as the rule says.

    A terminated step has no next state; a truncated one is bootstrapped like any other.
    """

    def __init__(
        self,
        environments: Environments,
        rule: Rule,
        gamma: float,
        step_size: float | Literal["average"],
        policy: Policy,
        rng: np.random.Generator,
        initial: float = 0.0,
    ) -> None:
        super().__init__(environments, gamma, step_size, policy, rng, rule.over_actions, rule.copies, initial)
        self.rule = rule
        self.on_policy = rule.on_policy

    def learn(self, transition: Transition) -> None:
        """Update the entry that was left."""
        row_K, judge_K = self.rows_to_learn(transition.run)
        following = self.rule.bootstrap(self, row_K, judge_K, transition)
        target = transition.reward + self.gamma * (following * ~transition.terminated)
        self.towards(self.index(row_K, transition.state, transition.action), target)
