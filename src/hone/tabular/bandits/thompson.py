"""Thompson sampling: pull the arm that is best in one draw from the posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from hone.core.errors import HoneError
from hone.core.seeding import U64, generator
from hone.core.streams import Streams
from hone.tabular.bandits.base import Floats, Ints, require


@dataclass(frozen=True)
class ThompsonBeta:
    """Bernoulli arms with a Beta(a, b) prior on each p.

    Rewards between 0 and 1 count as that fraction of a success. The Beta draws come from one generator
    keyed by all runs together, as inverting the distribution is 30 times slower: here, and here alone, a
    run's luck depends on which runs stand beside it.

    Attributes:
        successes: a of the prior.
        failures: b of the prior.

    Raises:
        HoneError: a prior that is not positive; in play, a reward outside [0, 1].
    """

    successes: float = 1.0
    failures: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.successes < math.inf, "successes", self.successes, "above 0")
        require(0 < self.failures < math.inf, "failures", self.failures, "above 0")

    def begin(self, arms: int, keys_N: U64) -> ThompsonBetaPlayer:
        """A player at its first step."""
        return ThompsonBetaPlayer(self, arms, keys_N)


class ThompsonBetaPlayer:
    """N runs of :class:`ThompsonBeta`."""

    def __init__(self, agent: ThompsonBeta, arms: int, keys_N: U64) -> None:
        runs = len(keys_N)
        self.success_KN: Floats = np.full((arms, runs), agent.successes)
        self.failure_KN: Floats = np.full((arms, runs), agent.failures)
        self._run = np.arange(runs)
        self._generator = generator("thompson beta", *(int(k) for k in keys_N))

    def act(self) -> Ints:
        """The arm with the largest draw."""
        chosen_N: Ints = self._generator.beta(self.success_KN, self.failure_KN).argmax(axis=0)
        return chosen_N

    def learn(self, actions: Ints, rewards: Floats) -> None:
        """a ← a + r, b ← b + 1 − r for the pulled arm."""
        if rewards.min() < 0 or rewards.max() > 1:
            worst = rewards.min() if rewards.min() < 0 else rewards.max()
            raise HoneError(
                "Thompson sampling with a Beta posterior needs rewards from 0 to 1",
                got=f"{worst:g}",
                do="ThompsonGaussian",
            )
        self.success_KN[actions, self._run] += rewards
        self.failure_KN[actions, self._run] += 1.0 - rewards


@dataclass(frozen=True)
class ThompsonGaussian:
    """Gaussian arms of known noise σ with a Normal(m, s²) prior on each mean.

    Posterior after n pulls of sum R: precision 1/s² + n/σ², mean (m/s² + R/σ²) / precision.

    Attributes:
        prior_mean: m.
        prior_spread: s.
        noise: σ.

    Raises:
        HoneError: a standard deviation that is not positive.
    """

    prior_mean: float = 0.0
    prior_spread: float = 1.0
    noise: float = 1.0

    def __post_init__(self) -> None:
        require(math.isfinite(self.prior_mean), "prior_mean", self.prior_mean, "a number")
        require(0 < self.prior_spread < math.inf, "prior_spread", self.prior_spread, "above 0")
        require(0 < self.noise < math.inf, "noise", self.noise, "above 0")

    def begin(self, arms: int, keys_N: U64) -> ThompsonGaussianPlayer:
        """A player at its first step."""
        return ThompsonGaussianPlayer(self, arms, keys_N)


class ThompsonGaussianPlayer:
    """N runs of :class:`ThompsonGaussian`."""

    def __init__(self, agent: ThompsonGaussian, arms: int, keys_N: U64) -> None:
        runs = len(keys_N)
        self._prior_precision = agent.prior_spread**-2
        self._noise_precision = agent.noise**-2
        self._weighted_KN = np.full((arms, runs), agent.prior_mean * self._prior_precision)
        self.mean_KN: Floats = np.full((arms, runs), agent.prior_mean)
        self.spread_KN: Floats = np.full((arms, runs), agent.prior_spread)
        self._run = np.arange(runs)
        self._time = 0
        # The floor keeps the normal quantile of a uniform of exactly 0 finite.
        self._normal = Streams(keys_N, width=arms, transform=lambda u: ndtri(np.maximum(u, 2.0**-54)))

    def act(self) -> Ints:
        """The arm with the largest draw."""
        normal_KN = self._normal.at(self._time).reshape(self.mean_KN.shape)
        chosen_N: Ints = (self.mean_KN + self.spread_KN * normal_KN).argmax(axis=0)
        return chosen_N

    def learn(self, actions: Ints, rewards: Floats) -> None:
        """Update the pulled arm's posterior."""
        cell = (actions, self._run)
        precision_N = self.spread_KN[cell] ** -2 + self._noise_precision
        self._weighted_KN[cell] += rewards * self._noise_precision
        self.mean_KN[cell] = self._weighted_KN[cell] / precision_N
        self.spread_KN[cell] = precision_N**-0.5
        self._time += 1
