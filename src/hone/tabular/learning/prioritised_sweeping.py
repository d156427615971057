"""Prioritised sweeping (Moore and Atkeson 1993; Peng and Williams 1993): plan where the error is largest."""

from __future__ import annotations

import numpy as np

from hone.tabular.learning.base import Environments, Transition
from hone.tabular.learning.dyna_q import DynaQ
from hone.tabular.learning.policies import Policy, row_max
from hone.tabular.mdp import Floats, Ints


class PrioritisedSweeping(DynaQ):
    """Dyna-Q whose planned updates take the largest error first and then look at what leads there.

    The queue is an array of priorities per run; its maximum is found by looking at all entries, which for the
    tables it is meant for costs less than keeping a heap in Python. For deterministic worlds, as the model is
    the last outcome seen.

    Args:
        threshold: smallest error that enters the queue.
    """

    def __init__(
        self,
        environments: Environments,
        gamma: float,
        step_size: float,
        policy: Policy,
        rng: np.random.Generator,
        planning: int = 5,
        threshold: float = 1e-4,
        initial: float = 0.0,
    ) -> None:
        super().__init__(environments, gamma, step_size, policy, rng, planning, 0.0, initial)
        self.threshold = threshold
        self.priority_NX = np.zeros((self.runs, self.states * self.actions))

    def learn(self, transition: Transition) -> None:
        """Remember the step, queue it by its error, and work through the queue."""
        self.remember(transition)
        run, entry = transition.run, transition.state * self.actions + transition.action
        error = np.abs(self._error(run, entry))
        self.priority_NX[run, entry] = np.where(error > self.threshold, error, 0.0)
        self.plan(run)

    def plan(self, run_K: Ints) -> None:
        """Up to ``planning`` updates per run, largest error first; runs with an empty queue drop out."""
        for _ in range(self.planning):
            entry_K = self.priority_NX[run_K].argmax(axis=1)
            busy = self.priority_NX[run_K, entry_K] > 0
            run_K, entry_K = run_K[busy], entry_K[busy]
            if not len(run_K):
                return
            self.priority_NX[run_K, entry_K] = 0.0
            place = run_K * self.priority_NX.shape[1] + entry_K
            self.flat[place] += self.constant * self._error(run_K, entry_K)
            self._queue_predecessors(run_K, entry_K // self.actions)

    def _error(self, run_K: Ints, entry_K: Ints) -> Floats:
        """Temporal-difference error of a remembered transition."""
        best = row_max(self.rows.take(run_K * self.states + self.next_NX[run_K, entry_K], axis=0))
        target = self.reward_NX[run_K, entry_K] + self.gamma * self.continues_NX[run_K, entry_K] * best
        error: Floats = target - self.table.reshape(self.runs, -1)[run_K, entry_K]
        return error

    def _queue_predecessors(self, run_K: Ints, state_K: Ints) -> None:
        """Give every known pair that leads to the state its error, where that is larger than its priority."""
        best_K = row_max(self.rows.take(run_K * self.states + state_K, axis=0))
        leads = self.known_NX[run_K] & (self.next_NX[run_K] == state_K[:, None]) & (self.continues_NX[run_K] > 0)
        which, entry = np.nonzero(leads)
        run = run_K[which]
        target = self.reward_NX[run, entry] + self.gamma * best_K[which]
        error = np.abs(target - self.table.reshape(self.runs, -1)[run, entry])
        kept = np.where(error > self.threshold, error, 0.0)
        self.priority_NX[run, entry] = np.maximum(self.priority_NX[run, entry], kept)
