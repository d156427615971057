"""Agents that pull the arm of highest estimated value, or sometimes another: greedy, ε-greedy, optimistic.

Source: Sutton and Barto (2018), sections 2.2 to 2.6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hone.core.seeding import U64
from hone.core.streams import Streams
from hone.tabular.bandits.base import Estimates, Floats, Ints, argmax_random, require


@dataclass(frozen=True)
class EpsilonGreedy:
    """With probability ε_t a uniformly drawn arm (the best one included), else the arm of highest value.

    Attributes:
        epsilon: ε.
        decay: ε_t = min(1, ε·t^−decay) at step t = 1, 2, ...; 0 is constant; decay 1 with ε = cK/d² is
            the ε_n-greedy of Auer, Cesa-Bianchi and Fischer (2002).
        initial: value of an untried arm; infinite means that every arm is tried once before anything else.
        step_size: constant α, or None for sample averages.

    Raises:
        HoneError: an option out of range.
    """

    epsilon: float = 0.1
    decay: float = 0.0
    initial: float = 0.0
    step_size: float | None = None

    def __post_init__(self) -> None:
        require(self.epsilon >= 0, "epsilon", self.epsilon, "at least 0")
        require(self.epsilon <= 1 or self.decay > 0, "epsilon", self.epsilon, "at most 1, or a decay")
        require(self.decay >= 0, "decay", self.decay, "at least 0")
        require(self.step_size is None or 0 < self.step_size <= 1, "step_size", self.step_size, "in (0, 1]")
        finite = math.isfinite(self.initial) or (self.initial == math.inf and self.step_size is None)
        require(finite, "initial", self.initial, "finite, or infinite with sample averages")

    def begin(self, arms: int, keys_N: U64) -> EpsilonGreedyPlayer:
        """A player at its first step."""
        return EpsilonGreedyPlayer(self, arms, keys_N)


class EpsilonGreedyPlayer:
    """N runs of :class:`EpsilonGreedy`."""

    def __init__(self, agent: EpsilonGreedy, arms: int, keys_N: U64) -> None:
        self._agent, self._arms = agent, arms
        self.estimates = Estimates(arms, len(keys_N), agent.initial, agent.step_size)
        self._uniform = Streams(keys_N)

    def act(self) -> Ints:
        """One uniform u decides all: u < ε explores (u/ε picks the arm), else the rest of u breaks ties."""
        uniform_N = self._uniform.at(self.estimates.time)
        epsilon = min(1.0, self._agent.epsilon * (self.estimates.time + 1) ** -self._agent.decay)
        if epsilon == 0.0:
            return argmax_random(self.estimates.value_KN, uniform_N)
        if epsilon == 1.0:
            return (uniform_N * self._arms).astype(np.int64)
        rest_N = np.maximum((uniform_N - epsilon) / (1.0 - epsilon), 0.0)
        chosen_N = argmax_random(self.estimates.value_KN, rest_N)
        explores = np.flatnonzero(uniform_N < epsilon)
        chosen_N[explores] = (uniform_N[explores] / epsilon * self._arms).astype(np.int64)
        return chosen_N

    def learn(self, actions: Ints, rewards: Floats) -> None:
        """Update the estimates."""
        self.estimates.learn(actions, rewards)


@dataclass(frozen=True)
class Random(EpsilonGreedy):
    """A uniformly drawn arm at every step."""

    epsilon: float = 1.0


@dataclass(frozen=True)
class Greedy(EpsilonGreedy):
    """The arm of highest sample average; untried arms count as 0 and ties are broken at random."""

    epsilon: float = 0.0


@dataclass(frozen=True)
class Sweep(EpsilonGreedy):
    """Every arm once, in random order, then greedy."""

    epsilon: float = 0.0
    initial: float = math.inf


@dataclass(frozen=True)
class Optimistic(EpsilonGreedy):
    """Greedy from high initial values with a constant step size: arms disappoint until all were tried."""

    epsilon: float = 0.0
    initial: float = 5.0
    step_size: float | None = 0.1
