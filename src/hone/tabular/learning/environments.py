"""N copies of an environment: simulated at once from its table, or Gymnasium's own stepped one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from hone.tabular.mdp import Bools, Floats, Ints
from hone.tabular.outcomes import Outcomes, check_discrete


class ModelEnvironments:
    """N copies drawn from one table; a step of all of them is a handful of array operations.

    Args:
        outcomes: the table; it may be exchanged between steps (a maze that changes).
        runs: N.
        rng: source of chance.
        limit: episodes are truncated after so many steps.
    """

    def __init__(self, outcomes: Outcomes, runs: int, rng: np.random.Generator, limit: int | None = None) -> None:
        self.runs, self.states, self.actions = runs, outcomes.states, outcomes.actions
        self.rng, self.limit = rng, limit
        self.elapsed_N = np.zeros(runs, dtype=np.int64)
        self.use(outcomes)

    def use(self, outcomes: Outcomes) -> None:
        """Continue with another table of the same size."""
        self.branches = outcomes.probability.shape[1]
        self._cut = np.ascontiguousarray(np.cumsum(outcomes.probability, axis=1)[:, :-1])
        self._next, self._reward = outcomes.next_state.ravel(), outcomes.reward.ravel()
        self._end = outcomes.terminated.ravel()
        self._start = np.cumsum(outcomes.start_S)
        self._start[-1] = 1.0

    def reset(self, run_K: Ints) -> Ints:
        """Draw first states."""
        self.elapsed_N[run_K] = 0
        return np.searchsorted(self._start, self.rng.random(len(run_K)), side="right")

    def step(self, run_K: Ints, state_K: Ints, action_K: Ints) -> tuple[Ints, Floats, Bools, Bools]:
        """Draw an outcome for each run."""
        row = state_K * self.actions + action_K
        if self.branches > 1:
            above = self.rng.random(len(row))[:, None] >= self._cut.take(row, axis=0)
            row = row * self.branches + above.sum(axis=1)
        terminated = self._end.take(row)
        truncated = np.zeros(len(row), dtype=bool)
        if self.limit is not None:
            self.elapsed_N[run_K] += 1
            truncated = (self.elapsed_N[run_K] >= self.limit) & ~terminated
        return self._next.take(row), self._reward.take(row), terminated, truncated


class GymnasiumEnvironments:
    """N Gymnasium environments with discrete spaces, stepped in a Python loop: for those that show no table.

    Args:
        make: makes one environment.
        runs: N.
        seed: the i-th environment is seeded with ``seed + i``.

    Raises:
        HoneError: a space is not ``Discrete``.
    """

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]], runs: int, seed: int = 0) -> None:
        self.envs = [make() for _ in range(runs)]
        self.runs = runs
        self.states, self.actions = check_discrete(self.envs[0])
        self._seed: list[int | None] = [seed + i for i in range(runs)]

    def reset(self, run_K: Ints) -> Ints:
        """Reset each; the seed is given the first time only."""
        first = []
        for run in run_K:
            state, _ = self.envs[run].reset(seed=self._seed[run])
            self._seed[run] = None
            first.append(int(state))
        return np.array(first, dtype=np.int64)

    def step(self, run_K: Ints, state_K: Ints, action_K: Ints) -> tuple[Ints, Floats, Bools, Bools]:
        """Step each."""
        results = [self.envs[run].step(int(action)) for run, action in zip(run_K, action_K, strict=True)]
        following, reward, terminated, truncated, _ = zip(*results, strict=True)
        ended = np.array(terminated, dtype=bool)
        cut = np.array(truncated, dtype=bool) & ~ended
        return np.array(following, dtype=np.int64), np.array(reward, dtype=float), ended, cut
