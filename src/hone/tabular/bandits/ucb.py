"""Upper confidence bounds: the value of an arm plus a bonus that falls with the number of its pulls."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hone.core.seeding import U64
from hone.core.streams import Streams
from hone.tabular.bandits.base import Estimates, Floats, Ints, argmax_random, require


@dataclass(frozen=True)
class UCB:
    """The arm of largest Q_a + c·√(ln t / n_a), or Q_a + c/√n_a; untried arms first, ties at random.

    c = √2 is UCB1 (Auer, Cesa-Bianchi and Fischer 2002), c = 2 and 1 are the figures of Sutton and Barto
    (2018, section 2.7), c = √½ is BanditBench's, and c = 1 without the logarithm is the expert of RLFT
    (arXiv 2504.16078). t is the number of the step being chosen, from 1.

    Attributes:
        c: width of the bound, in units of reward.
        logarithm: whether the bonus holds √ln t.
        step_size: constant α of the values, or None for sample averages.
        in_order: the first of equal bounds instead of a random one: untried arms in their order, as BanditBench and the
            expert of RLFT take them.

    Raises:
        HoneError: an option out of range.
    """

    c: float = math.sqrt(2)
    logarithm: bool = True
    step_size: float | None = None
    in_order: bool = False

    def __post_init__(self) -> None:
        require(math.isfinite(self.c) and self.c >= 0, "c", self.c, "at least 0")
        require(self.step_size is None or 0 < self.step_size <= 1, "step_size", self.step_size, "in (0, 1]")

    def index(self, value: Floats, count: Floats, time: int) -> Floats:
        """The bounds at step ``time`` of arms with these values and counts; infinite where untried."""
        scale = self.c * (math.sqrt(math.log(time)) if self.logarithm else 1.0)
        with np.errstate(divide="ignore"):
            # A scale of exactly 0 (c = 0, or step 1) would make 0·∞ of an untried arm.
            bonus: Floats = max(scale, 1e-300) / np.sqrt(count)
        bonus += value
        return bonus

    def begin(self, arms: int, keys_N: U64) -> UCBPlayer:
        """A player at its first step."""
        return UCBPlayer(self, arms, keys_N)


class UCBPlayer:
    """N runs of :class:`UCB`."""

    def __init__(self, agent: UCB, arms: int, keys_N: U64) -> None:
        self._agent = agent
        self.estimates = Estimates(arms, len(keys_N), step_size=agent.step_size)
        self._uniform = Streams(keys_N)

    def act(self) -> Ints:
        """The arm of highest bound."""
        own = self.estimates
        index_KN = self._agent.index(own.value_KN, own.count_KN, own.time + 1)
        if self._agent.in_order:
            first_N: Ints = index_KN.argmax(axis=0)
            return first_N
        return argmax_random(index_KN, self._uniform.at(own.time))

    def learn(self, actions: Ints, rewards: Floats) -> None:
        """Update the estimates."""
        self.estimates.learn(actions, rewards)
