"""The table that every learner here owns: state or action values, a step size, a behaviour policy."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hone.core.errors import HoneError
from hone.tabular.learning.base import Environments, Transition
from hone.tabular.learning.policies import Policy
from hone.tabular.mdp import Floats, Ints


class Values:
    """N tables of values, stored flat.

    Args:
        environments: gives N, S and A.
        gamma: the discount.
        step_size: a constant α, or ``"average"``: 1/n at the n-th update of an entry.
        policy: the behaviour.
        rng: source of chance.
        over_actions: values of actions [S, A]; otherwise of states [S, 1].
        copies: tables per run (2 for double learning); copy c of run i is row ``c·N + i``.
        initial: value of every entry at the start.

    Attributes:
        table: [copies·N, S, A or 1].
    """

    on_policy = False
    lock_step = False

    def __init__(
        self,
        environments: Environments,
        gamma: float,
        step_size: float | Literal["average"],
        policy: Policy,
        rng: np.random.Generator,
        over_actions: bool = True,
        copies: int = 1,
        initial: float = 0.0,
    ) -> None:
        if step_size != "average" and not 0 < step_size <= 1:
            raise HoneError("the step size is out of range", got=str(step_size), expected='0 to 1, or "average"')
        if not 0 <= gamma <= 1:
            raise HoneError("the discount is out of range", got=f"gamma = {gamma}", expected="0 to 1")
        self.runs, self.states, self.actions = environments.runs, environments.states, environments.actions
        self.gamma, self.step_size, self.policy, self.rng = gamma, step_size, policy, rng
        self.over_actions, self.copies = over_actions, copies
        self.width = self.actions if over_actions else 1
        self.table = np.full((copies * self.runs, self.states, self.width), float(initial))
        self.flat = self.table.reshape(-1)
        self.rows = self.table.reshape(-1, self.width)
        self.count = np.zeros(self.flat.shape if step_size == "average" else 0)

    @property
    def learnt(self) -> Floats:
        """[N, S, A or 1] the learnt values: the table, or the mean of its copies."""
        copies = self.table.reshape(self.copies, self.runs, self.states, self.width)
        return np.asarray(copies.mean(axis=0))

    def act(self, run_K: Ints, state_K: Ints) -> Ints:
        """Actions of the behaviour policy."""
        return self.policy.act(self.action_values(run_K, state_K), state_K, self.rng)

    def action_values(self, run_K: Ints, state_K: Ints) -> Floats:
        """[K, A] action values of these states ([K, 1] for a table of states), summed over copies."""
        q_KA = self.rows.take(run_K * self.states + state_K, axis=0)
        for copy in range(1, self.copies):
            q_KA += self.rows.take((copy * self.runs + run_K) * self.states + state_K, axis=0)
        return q_KA

    def index(self, row_K: Ints, state_K: Ints, action_K: Ints) -> Ints:
        """Place of an entry in ``flat``."""
        place = row_K * self.states + state_K
        return place * self.width + action_K if self.over_actions else place

    def rows_to_learn(self, run_K: Ints) -> tuple[Ints, Ints]:
        """Which copy of each run learns, and which one judges the next state; the same where there is one."""
        if self.copies == 1:
            return run_K, run_K
        first = self.rng.random(len(run_K)) < 0.5
        return np.where(first, run_K, run_K + self.runs), np.where(first, run_K + self.runs, run_K)

    def towards(self, index_K: Ints, target_K: Floats) -> None:
        """``v ← v + α (target − v)`` at places that are all different."""
        old = self.flat.take(index_K)
        self.flat[index_K] = old + self.alpha(index_K) * (target_K - old)

    def alpha(self, index_K: Ints) -> float | Floats:
        """The step size of this update."""
        if self.step_size != "average":
            return self.step_size
        self.count[index_K] += 1
        return 1 / self.count[index_K]

    def learn(self, transition: Transition) -> None:
        """Take in one step: what a subclass is."""
        raise NotImplementedError

    def end_episodes(self) -> None:
        """Nothing to do for learners that learn at every step."""
