"""An agent that knows the upper confidence bounds and does not always act on them.

Source: the knowing-doing gap of RLFT (arXiv 2504.16078), section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hone.core.seeding import U64
from hone.core.streams import Streams
from hone.tabular.bandits.base import Estimates, Floats, Ints, require
from hone.tabular.bandits.ucb import UCB


@dataclass(frozen=True)
class Knowing:
    """The arm of largest Q + c/√n, untried ones first in their order; or, now and then, another.

    Attributes:
        c: of the bound.
        greedy: share of steps in which the arm of largest bound among those *tried* is pulled.
        random: share of steps in which any arm is.

    Raises:
        HoneError: an option out of range.
    """

    c: float = 1.0
    greedy: float = 0.0
    random: float = 0.0

    def __post_init__(self) -> None:
        require(self.c >= 0, "c", self.c, "at least 0")
        require(self.greedy >= 0 and self.random >= 0, "greedy", self.greedy, "a share, as random is")
        require(self.greedy + self.random <= 1, "greedy + random", self.greedy + self.random, "at most 1")

    def begin(self, arms: int, keys_N: U64) -> KnowingPlayer:
        """A player at its first step."""
        return KnowingPlayer(self, arms, keys_N)


class KnowingPlayer:
    """N runs of :class:`Knowing`."""

    def __init__(self, agent: Knowing, arms: int, keys_N: U64) -> None:
        self._agent, self._bound = agent, UCB(agent.c, logarithm=False)
        self.estimates = Estimates(arms, len(keys_N))
        self._uniform = Streams(keys_N, width=2)

    def act(self) -> Ints:
        """One uniform says what is done, another which arm where that is left to chance."""
        own = self.estimates
        index_KN: Floats = self._bound.index(own.value_KN, own.count_KN, own.time + 1)
        deed_N, chance_N = self._uniform.at(own.time)
        any_N = (chance_N * len(index_KN)).astype(np.int64)
        optimal_N = index_KN.argmax(axis=0)
        tried_KN = own.count_KN > 0
        greedy_N = np.where(tried_KN.any(axis=0), np.where(tried_KN, index_KN, -np.inf).argmax(axis=0), any_N)
        agent = self._agent
        acted_N: Ints = np.where(deed_N < agent.greedy + agent.random, any_N, optimal_N)
        return np.where(deed_N < agent.greedy, greedy_N, acted_N)

    def learn(self, actions: Ints, rewards: Floats) -> None:
        """Update the estimates."""
        self.estimates.learn(actions, rewards)
