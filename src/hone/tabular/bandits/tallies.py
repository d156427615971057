"""What was seen of every arm before each step of a bandit, and the plain policies that depend on nothing else.

Dimensions: T steps, N runs, K arms. ``...`` stands for any leading dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hone.tabular.bandits.base import Floats

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Tally:
    """Pulls and mean rewards of the arms.

    Attributes:
        count: [..., K] pulls of each arm.
        mean: [..., K] their mean reward; NaN where there is none.
    """

    count: Floats
    mean: Floats

    @property
    def tried(self) -> Bools:
        """[..., K] whether an arm was pulled at all."""
        tried: Bools = self.count > 0
        return tried

    def upper_bound(self, c: float = 1.0) -> Floats:
        """[..., K] mean + c/√n, the bound of RLFT's expert (arXiv 2504.16078); infinite where untried."""
        with np.errstate(divide="ignore"):
            bound: Floats = np.where(self.tried, np.nan_to_num(self.mean) + c / np.sqrt(self.count), np.inf)
        return bound


def tallies(action_TN: NDArray[np.integer], reward_TN: Floats, arms: int) -> Tally:
    """What was seen before each step, and after the last: [T+1, N, K]. An action below 0 counts nowhere."""
    steps, runs = action_TN.shape
    taken_TNK = action_TN[:, :, None] == np.arange(arms)
    count, total = np.zeros((2, steps + 1, runs, arms))
    count[1:] = taken_TNK.cumsum(axis=0)
    total[1:] = (taken_TNK * reward_TN[:, :, None]).cumsum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Tally(count, total / count)


def best(value: Floats, tolerance: float = 0.0) -> Bools:
    """[..., K] which values are the largest, or fall short of it by no more than the tolerance; NaN is never.

    Where every value is NaN none is.
    """
    known = np.where(np.isnan(value), -np.inf, value)
    top = known.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        near: Bools = (known == top) | (known >= top - tolerance)
    return near & ~np.isnan(value)


Mind = Callable[[Tally], Floats]
"""Probabilities [..., K] of the arms, from what was seen of them."""


def uniform(seen: Tally) -> Floats:
    """Any arm."""
    return evenly(np.ones(seen.count.shape, dtype=np.bool_))


def greedy(seen: Tally) -> Floats:
    """The tried arm of highest mean; any arm at first."""
    return evenly(best(seen.mean))


def frequent(seen: Tally) -> Floats:
    """The arm that was pulled most; any arm at first."""
    return evenly(best(seen.count))


def optimistic(c: float = 1.0) -> Mind:
    """The arm of highest :meth:`Tally.upper_bound`: any untried one, as long as there is one."""
    return lambda seen: evenly(best(seen.upper_bound(c)))


def evenly(options: Bools) -> Floats:
    """The same probability for every option, for every arm where there is no option."""
    some = options | ~options.any(axis=-1, keepdims=True)
    probability: Floats = some / some.sum(axis=-1, keepdims=True)
    return probability


def entropy(probability: Floats) -> Floats:
    """[...] in nats; 0·ln 0 = 0."""
    logarithm = np.log(np.where(probability > 0, probability, 1.0))
    found: Floats = -(probability * logarithm).sum(axis=-1)
    return found + 0.0  # no -0.0


def correlation(x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> float:
    """Pearson's; NaN where one of them does not vary."""
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if min(np.ptp(first), np.ptp(second)) < 1e-9:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])
