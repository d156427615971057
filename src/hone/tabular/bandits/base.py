"""What bandit agents share: the protocol, running estimates, the arg max with random ties, drawing by
weight.

An *agent* is a frozen dataclass, its own configuration. ``agent.begin(arms, keys_N)`` gives a *player* that
plays N runs at once. A player's random numbers are keyed by run (:class:`hone.core.streams.Streams`), so
that what one run does is independent of the runs beside it.

Dimensions: N parallel runs, K arms. Arrays over arms are [K, N]: reductions over arms are then fast.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hone.core.errors import HoneError
from hone.core.seeding import U64

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Player(Protocol):
    """N runs in progress."""

    def act(self) -> Ints:
        """The arm [N] that each run pulls next."""

    def learn(self, actions: Ints, rewards: Floats) -> None:
        """Take in what the pulls paid."""


class Agent(Protocol):
    """How to play a bandit."""

    def begin(self, arms: int, keys_N: U64) -> Player:
        """A player at its first step; one key per run."""


class Estimates:
    """Running value of every arm in every run.

    With ``step_size`` None the sample average Q = (Σ r) / n, else the recency-weighted Q ← Q + α(r − Q)
    (Sutton and Barto 2018, eq. 2.3 and 2.5).

    Args:
        initial: Q of an arm not yet tried; with sample averages the first pull replaces it, and it may be
            infinite.

    Attributes:
        value_KN: Q.
        count_KN: pulls n (as floats).
        time: steps taken.
    """

    def __init__(self, arms: int, runs: int, initial: float = 0.0, step_size: float | None = None) -> None:
        self.value_KN: Floats = np.full((arms, runs), initial)
        self.count_KN: Floats = np.zeros((arms, runs))
        self.time = 0
        self._step_size = step_size
        self._total = np.zeros(arms * runs)
        self._value, self._count = self.value_KN.reshape(-1), self.count_KN.reshape(-1)
        self._run = np.arange(runs)

    def learn(self, actions: Ints, rewards: Floats) -> None:
        """Take in one pull of every run."""
        cell_N = actions * len(self._run) + self._run
        count_N = self._count.take(cell_N) + 1.0
        self._count[cell_N] = count_N
        if self._step_size is None:
            total_N = self._total.take(cell_N) + rewards
            self._total[cell_N] = total_N
            self._value[cell_N] = total_N / count_N
        else:
            old_N = self._value.take(cell_N)
            self._value[cell_N] = old_N + self._step_size * (rewards - old_N)
        self.time += 1


def argmax_random(index_KN: Floats, uniform_N: Floats) -> Ints:
    """The arm [N] of largest index in each run, ties broken uniformly by one uniform per run."""
    arms, runs = index_KN.shape
    best_KN: NDArray[np.bool_] = index_KN == index_KN.max(axis=0)
    if np.count_nonzero(best_KN) == runs:
        # No ties: the position of the only True is a sum of positions, several times as fast as argmax.
        small = np.int8 if arms < 128 else np.int64
        weight_K1 = np.arange(arms, dtype=small)[:, None]
        position_KN = np.multiply(best_KN.view(np.int8), weight_K1, dtype=small)
        only_N: Ints = position_KN.sum(axis=0, dtype=small).astype(np.int64)
        return only_N
    place_KN = best_KN.cumsum(axis=0)
    wanted_N = (uniform_N * place_KN[-1]).astype(np.int64) + 1
    chosen_N: Ints = (place_KN < wanted_N).sum(axis=0)
    return chosen_N


def choose(weight_KN: Floats, uniform_N: Floats) -> Ints:
    """An arm [N] drawn in proportion to weights ≥ 0, by inverting the cumulative sum at one uniform."""
    threshold_N = uniform_N * weight_KN.sum(axis=0)
    reached_N = np.zeros_like(threshold_N)
    chosen_N = np.zeros(len(uniform_N), dtype=np.int64)
    for weight_N in weight_KN[:-1]:  # adding up row by row is twice as fast as cumsum along the first axis
        reached_N += weight_N
        chosen_N += reached_N <= threshold_N
    return chosen_N


def require(condition: bool, name: str, got: object, expected: str) -> None:
    """Refuse an option of an agent.

    Raises:
        HoneError: the condition does not hold.
    """
    if not condition:
        raise HoneError("an option of a bandit agent is out of range", where=name, got=str(got), expected=expected)
