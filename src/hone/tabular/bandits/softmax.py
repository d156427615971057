"""Agents that draw an arm from a softmax: of preferences (the gradient bandit) or of values (Boltzmann)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hone.core.seeding import U64
from hone.core.streams import Streams
from hone.tabular.bandits.base import Estimates, Floats, Ints, choose, require


@dataclass(frozen=True)
class GradientBandit:
    """Stochastic gradient ascent on expected reward: π = softmax(H), H ← H + α(r − r̄)(1[a] − π).

    This is REINFORCE with a baseline at its smallest: one state, one step. Source: Sutton and Barto (2018),
    section 2.8, eq. 2.12.

    Attributes:
        step_size: α.
        baseline: r̄ is the mean of the rewards ``"before"`` this one (0 at the first step), as in the
            book's text; or of all ``"including"`` this one, as in much published code; or 0 with
            ``"none"``. The choice shows: where rewards are far from 0, the first step of ``"before"`` is a
            large one in a random direction.

    Raises:
        HoneError: a step size that is not positive, an unknown baseline.
    """

    step_size: float = 0.1
    baseline: Literal["before", "including", "none"] = "before"

    def __post_init__(self) -> None:
        require(0 < self.step_size < math.inf, "step_size", self.step_size, "above 0")
        known = ("before", "including", "none")
        require(self.baseline in known, "baseline", self.baseline, " | ".join(known))

    def begin(self, arms: int, keys_N: U64) -> GradientPlayer:
        """A player at its first step."""
        return GradientPlayer(self, arms, keys_N)


class GradientPlayer:
    """N runs of :class:`GradientBandit`."""

    def __init__(self, agent: GradientBandit, arms: int, keys_N: U64) -> None:
        runs = len(keys_N)
        self._agent = agent
        self.preference_KN: Floats = np.zeros((arms, runs))
        self.probability_KN: Floats = np.full((arms, runs), 1.0 / arms)
        self._mean_N = np.zeros(runs)
        self._time = 0
        self._run = np.arange(runs)
        self._uniform = Streams(keys_N)

    def act(self) -> Ints:
        """An arm drawn from π."""
        return choose(self.probability_KN, self._uniform.at(self._time))

    def learn(self, actions: Ints, rewards: Floats) -> None:
        """One step up the gradient."""
        self._time += 1
        mean_N = self._mean_N + (rewards - self._mean_N) / self._time
        choices: dict[str, Floats | float] = {"before": self._mean_N, "including": mean_N, "none": 0.0}
        baseline_N = choices[self._agent.baseline]
        self._mean_N = mean_N
        step_N = self._agent.step_size * (rewards - baseline_N)
        self.preference_KN -= step_N * self.probability_KN
        self.preference_KN[actions, self._run] += step_N
        np.exp(self.preference_KN - self.preference_KN.max(axis=0), out=self.probability_KN)
        self.probability_KN /= self.probability_KN.sum(axis=0)


@dataclass(frozen=True)
class Boltzmann:
    """An arm drawn with probability proportional to exp(Q_a / τ).

    Attributes:
        temperature: τ, in units of reward.
        initial: value of an untried arm.
        step_size: constant α of the values, or None for sample averages.

    Raises:
        HoneError: an option out of range.
    """

    temperature: float = 0.2
    initial: float = 0.0
    step_size: float | None = None

    def __post_init__(self) -> None:
        require(0 < self.temperature < math.inf, "temperature", self.temperature, "above 0")
        require(math.isfinite(self.initial), "initial", self.initial, "a number")
        require(self.step_size is None or 0 < self.step_size <= 1, "step_size", self.step_size, "in (0, 1]")

    def begin(self, arms: int, keys_N: U64) -> BoltzmannPlayer:
        """A player at its first step."""
        return BoltzmannPlayer(self, arms, keys_N)


class BoltzmannPlayer:
    """N runs of :class:`Boltzmann`."""

    def __init__(self, agent: Boltzmann, arms: int, keys_N: U64) -> None:
        self._agent = agent
        self.estimates = Estimates(arms, len(keys_N), agent.initial, agent.step_size)
        self._uniform = Streams(keys_N)

    def act(self) -> Ints:
        """An arm drawn from the softmax."""
        logit_KN = self.estimates.value_KN / self._agent.temperature
        logit_KN -= logit_KN.max(axis=0)
        return choose(np.exp(logit_KN, out=logit_KN), self._uniform.at(self.estimates.time))

    def learn(self, actions: Ints, rewards: Floats) -> None:
        """Update the estimates."""
        self.estimates.learn(actions, rewards)
