"""The one loop: N learners in N environments, for a number of episodes or of steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hone.tabular.learning.base import Environments, Learner, Transition
from hone.tabular.mdp import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Episodes:
    """What each episode brought: undiscounted return and number of steps, [E, N]."""

    return_EN: Floats
    length_EN: Ints


@dataclass(frozen=True, eq=False)
class Steps:
    """What each step brought: reward, and whether it ended an episode, [T, N]."""

    reward_TN: Floats
    ended_TN: Bools


class Runner:
    """Drives one learner object (N independent learners) through its environments.

    Calls may follow each other: ``steps(1000)`` twice is ``steps(2000)``. A new ``episodes`` starts new
        episodes.
    """

    def __init__(self, environments: Environments, learner: Learner) -> None:
        self.environments, self.learner = environments, learner
        self.run_K = np.arange(environments.runs)
        self.state_K = self.run_K
        self.action_K = self.run_K
        self._running = False

    def episodes(self, count: int) -> Episodes:
        """Run ``count`` episodes in every run. Those that are done wait; the others go on without them."""
        runs = self.environments.runs
        return_EN, length_EN = np.zeros((count, runs)), np.zeros((count, runs), dtype=np.int64)
        done_N = np.zeros(runs, dtype=np.int64)
        self._begin(np.arange(runs))
        while len(self.run_K):
            moved = self._step()
            episode = done_N[moved.run]
            return_EN[episode, moved.run] += moved.reward
            length_EN[episode, moved.run] += 1
            ended = moved.terminated | moved.truncated
            if not ended.any():
                continue
            done_N[moved.run[ended]] += 1
            if self.learner.lock_step:
                self._keep(~ended)
                if not len(self.run_K):
                    self.learner.end_episodes()
                    if done_N[0] < count:
                        self._begin(np.arange(runs))
                continue
            self._restart(ended & (done_N[moved.run] < count))
            self._keep(~ended | (done_N[self.run_K] < count))
        self._running = False
        return Episodes(return_EN, length_EN)

    def steps(self, count: int) -> Steps:
        """Take ``count`` steps in every run, through as many episodes as that takes (no ``lock_step``)."""
        runs = self.environments.runs
        if not self._running:
            self._begin(np.arange(runs))
        reward_TN, ended_TN = np.zeros((count, runs)), np.zeros((count, runs), dtype=bool)
        for step in range(count):
            moved = self._step()
            ended = moved.terminated | moved.truncated
            reward_TN[step], ended_TN[step] = moved.reward, ended
            if ended.any():
                self._restart(ended)
        return Steps(reward_TN, ended_TN)

    def _begin(self, run_K: Ints) -> None:
        self.run_K = run_K
        self.state_K = self.environments.reset(run_K)
        self.action_K = self.learner.act(run_K, self.state_K) if self.learner.on_policy else run_K
        self._running = True

    def _step(self) -> Transition:
        """One step of the active runs; ``state_K`` and ``action_K`` then hold what comes next."""
        run_K, state_K, learner = self.run_K, self.state_K, self.learner
        action_K = self.action_K if learner.on_policy else learner.act(run_K, state_K)
        next_K, reward_K, terminated_K, truncated_K = self.environments.step(run_K, state_K, action_K)
        following_K = learner.act(run_K, next_K) if learner.on_policy else action_K
        moved = Transition(run_K, state_K, action_K, reward_K, next_K, terminated_K, truncated_K, following_K)
        learner.learn(moved)
        self.state_K, self.action_K = next_K, following_K
        return moved

    def _restart(self, which_K: Bools) -> None:
        """Begin a new episode in some of the active runs."""
        run = self.run_K[which_K]
        if len(run):
            first = self.environments.reset(run)
            self.state_K = self.state_K.copy()
            self.state_K[which_K] = first
            if self.learner.on_policy:
                self.action_K = self.action_K.copy()
                self.action_K[which_K] = self.learner.act(run, first)

    def _keep(self, which_K: Bools) -> None:
        if not which_K.all():
            self.run_K, self.state_K = self.run_K[which_K], self.state_K[which_K]
            self.action_K = self.action_K[which_K]
