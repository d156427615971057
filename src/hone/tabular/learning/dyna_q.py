"""Dyna-Q and Dyna-Q+ (Sutton 1990): Q-learning, and more of it from remembered steps after every step."""

from __future__ import annotations

import numpy as np

from hone.tabular.learning.base import Environments, Transition
from hone.tabular.learning.one_step import OneStep
from hone.tabular.learning.policies import Policy, row_max
from hone.tabular.learning.rules.q_learning import QLearning
from hone.tabular.mdp import Ints


class DynaQ(OneStep):
    """After each real step, ``planning`` Q-learning updates from the last outcome seen of known actions.

    With ``bonus`` κ > 0 it is Dyna-Q+: planned rewards get ``κ√τ``, τ the real steps since the action was
    last taken there (since the start, if never), and every action of a visited state is planned, an untried
    one as leading back to the state without reward. Without bonus the pairs that were tried are drawn evenly.

    Args:
        planning: planned updates per real step; 0 is Q-learning.
        bonus: κ.
    """

    def __init__(
        self,
        environments: Environments,
        gamma: float,
        step_size: float,
        policy: Policy,
        rng: np.random.Generator,
        planning: int = 10,
        bonus: float = 0.0,
        initial: float = 0.0,
    ) -> None:
        super().__init__(environments, QLearning(), gamma, step_size, policy, rng, initial)
        self.planning, self.bonus, self.constant = planning, bonus, float(step_size)
        entries = self.states * self.actions
        shape = (self.runs, entries)
        self.next_NX = np.broadcast_to(np.arange(entries) // self.actions, shape).copy()
        self.reward_NX, self.continues_NX = np.zeros(shape), np.ones(shape)
        self.tried_NX = np.zeros(shape, dtype=np.int64)
        self.known_NX = np.zeros(shape, dtype=bool)
        self.order_NX = np.zeros(shape, dtype=np.int64)
        self.count_N = np.zeros(self.runs, dtype=np.int64)
        self.time_N = np.zeros(self.runs, dtype=np.int64)

    def learn(self, transition: Transition) -> None:
        """Learn from the real step, remember it, plan."""
        super().learn(transition)
        self.remember(transition)
        self.plan(transition.run)

    def remember(self, transition: Transition) -> None:
        """The last outcome of an action is the model; new pairs (with bonus, of a new state all) are listed."""
        run = transition.run
        entry = transition.state * self.actions + transition.action
        self.time_N[run] += 1
        self.next_NX[run, entry], self.reward_NX[run, entry] = transition.next_state, transition.reward
        self.continues_NX[run, entry] = ~transition.terminated
        self.tried_NX[run, entry] = self.time_N[run]
        joining = [entry]
        if self.bonus:
            joining = [transition.state * self.actions + action for action in range(self.actions)]
        for candidate in joining:
            new = ~self.known_NX[run, candidate]
            fresh, pair = run[new], candidate[new]
            self.known_NX[fresh, pair] = True
            self.order_NX[fresh, self.count_N[fresh]] = pair
            self.count_N[fresh] += 1

    def plan(self, run_K: Ints) -> None:
        """Planned updates, one after the other in each run and all runs at once."""
        base_K = run_K * (self.states * self.actions)
        drawn = (self.rng.random((self.planning, len(run_K))) * self.count_N[run_K]).astype(np.int64)
        # The model does not change while planning, so all that is read from it is read at once.
        place_PK = self.order_NX.reshape(-1).take(drawn + base_K) + base_K
        next_PK = self.next_NX.reshape(-1).take(place_PK) + run_K * self.states
        reward_PK = self.reward_NX.reshape(-1).take(place_PK)
        discount_PK = self.gamma * self.continues_NX.reshape(-1).take(place_PK)
        if self.bonus:
            since = self.time_N[run_K] - self.tried_NX.reshape(-1).take(place_PK)
            reward_PK += self.bonus * np.sqrt(since)
        for place, following, reward, discount in zip(place_PK, next_PK, reward_PK, discount_PK, strict=True):
            target = row_max(self.rows.take(following, axis=0))
            target *= discount
            target += reward
            old = self.flat.take(place)
            self.flat[place] = old + self.constant * (target - old)
