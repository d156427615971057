"""What a bandit's arms are like: Gaussian or Bernoulli, with drawn, spaced or given means.

Every draw is a function of uniforms handed in, so that who keys the uniforms decides what is shared.

Dimensions: N parallel episodes, K arms, S steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from hone.core.errors import HoneError, nearest

Floats = NDArray[np.float64]

_SMALLEST = 2.0**-54
"""Half the spacing of our uniforms: keeps the normal quantile of 0 finite (−8.3 standard deviations)."""


def normal_quantile(uniform: Floats) -> Floats:
    """Standard normal numbers Φ⁻¹(u), elementwise, finite for every u in [0, 1)."""
    result: Floats = ndtri(np.maximum(uniform, _SMALLEST))
    return result


class Family(Protocol):
    """A distribution over bandits."""

    def means(self, uniform_KN: Floats, which_N: Floats) -> Floats:
        """Expected rewards [K, N] of N episodes from one uniform per arm and one per episode.

        Raises:
            HoneError: the means were given and are not K.
        """

    def luck(self, uniform_SN: Floats) -> Floats:
        """The luck of each pull, not yet knowing which arm is pulled; elementwise."""

    def reward(self, mean_N: Floats, luck_N: Floats) -> Floats:
        """What arms of these means pay under this luck."""


@dataclass(frozen=True)
class Gaussian:
    """Arms that pay Normal(μ_a, noise²).

    Attributes:
        means_from: ``"normal"``: μ_a ~ Normal(centre, spread²); ``"uniform01"``: μ_a ~ Uniform(0, 1);
            or the K means themselves.
        noise: standard deviation of the reward. 0.1, 1 and 3 are the low, medium and high noise of RLFT
            (arXiv 2504.16078), whose text says ``uniform01`` and whose figures fit ``normal``: say which.
        spread: standard deviation of the means ("easy" and "hard" in BanditBench: spread = noise = 1 and 3).
        centre: mean of the means.

    Raises:
        HoneError: an unknown source of means, a number that cannot be, an option that would be ignored.
    """

    means_from: Literal["normal", "uniform01"] | tuple[float, ...] = "normal"
    noise: float = 1.0
    spread: float = 1.0
    centre: float = 0.0

    def __post_init__(self) -> None:
        _check_source("Gaussian", self.means_from, ("normal", "uniform01"))
        for name, value in (("noise", self.noise), ("spread", self.spread)):
            if not (np.isfinite(value) and value >= 0):
                raise HoneError(
                    "not a standard deviation",
                    where=f"Gaussian.{name}",
                    got=str(value),
                    expected="a number ≥ 0",
                )
        if not np.isfinite(self.centre):
            raise HoneError("not a mean", where="Gaussian.centre", got=str(self.centre), expected="a number")
        if self.means_from != "normal" and (self.spread, self.centre) != (1.0, 0.0):
            raise HoneError(
                "spread and centre would be ignored",
                where="Gaussian",
                got=f"means_from={self.means_from!r}",
                expected='means_from="normal"',
            )

    def means(self, uniform_KN: Floats, which_N: Floats) -> Floats:
        """μ [K, N]; ``which_N`` is not used."""
        if self.means_from == "normal":
            return self.centre + self.spread * normal_quantile(uniform_KN)
        return uniform_KN.copy() if self.means_from == "uniform01" else _given(self.means_from, uniform_KN)

    def luck(self, uniform_SN: Floats) -> Floats:
        """Deviation from the mean: noise·Φ⁻¹(u)."""
        return self.noise * normal_quantile(uniform_SN)

    def reward(self, mean_N: Floats, luck_N: Floats) -> Floats:
        """The mean plus the deviation."""
        return mean_N + luck_N


@dataclass(frozen=True)
class Bernoulli:
    """Arms that pay 1 with probability p_a and otherwise 0.

    Attributes:
        probabilities: ``"uniform01"``: p_a ~ Uniform(0, 1); ``"gap"``: one arm, drawn uniformly, pays with
            ½ + gap/2 and all others with ½ − gap/2; or the K probabilities themselves.
        gap: Δ of the gap form (BanditBench: 0.5 easy, 0.2 hard); 0 in the other forms.

    Raises:
        HoneError: an unknown source, a probability or gap outside [0, 1], a gap in another form.
    """

    probabilities: Literal["uniform01", "gap"] | tuple[float, ...] = "uniform01"
    gap: float = 0.0

    def __post_init__(self) -> None:
        _check_source("Bernoulli", self.probabilities, ("uniform01", "gap"))
        if isinstance(self.probabilities, tuple):
            for arm, p in enumerate(self.probabilities):
                if not 0.0 <= p <= 1.0:
                    where = f"arm {arm} of Bernoulli.probabilities"
                    raise HoneError("not a probability", where=where, got=str(p), expected="0 to 1")
        allowed = 0.0 < self.gap <= 1.0 if self.probabilities == "gap" else self.gap == 0.0
        if not allowed:
            expected = "above 0, at most 1" if self.probabilities == "gap" else 'none without probabilities="gap"'
            raise HoneError("a gap that cannot be", where="Bernoulli.gap", got=str(self.gap), expected=expected)

    def means(self, uniform_KN: Floats, which_N: Floats) -> Floats:
        """p [K, N]; the gap form reads which arm is best from ``which_N``."""
        if self.probabilities == "uniform01":
            return uniform_KN.copy()
        if self.probabilities == "gap":
            arms, runs = uniform_KN.shape
            p = np.full((arms, runs), 0.5 - self.gap / 2)
            p[(which_N * arms).astype(np.int64), np.arange(runs)] = 0.5 + self.gap / 2
            return p
        return _given(self.probabilities, uniform_KN)

    def luck(self, uniform_SN: Floats) -> Floats:
        """The uniform itself."""
        return uniform_SN

    def reward(self, mean_N: Floats, luck_N: Floats) -> Floats:
        """1 where u < p."""
        return (luck_N < mean_N).astype(np.float64)


def _check_source(family: str, source: object, names: Sequence[str]) -> None:
    """Refuse a source of means that is neither a known name nor some numbers."""
    if isinstance(source, str) and source not in names:
        raise HoneError(f"unknown means of a {family} bandit", got=f'"{source}"', do=nearest(source, names))
    if isinstance(source, tuple) and not (source and np.isfinite(source).all()):
        raise HoneError(f"the means of a {family} bandit are not numbers", got=str(source))


def _given(means: tuple[float, ...], uniform_KN: Floats) -> Floats:
    """The same given means in every episode."""
    arms, runs = uniform_KN.shape
    if len(means) != arms:
        raise HoneError("one mean is needed per arm", got=f"{len(means)} means", expected=str(arms))
    return np.repeat(np.array(means, dtype=np.float64)[:, None], runs, axis=1)
