"""LinUCB for contextual bandits, and the way to play one while ignoring the context.

Dimensions: N parallel runs, K arms, D features. Source: Li, Chu, Langford and Schapire (2010), algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hone.core.seeding import U64
from hone.core.streams import Streams
from hone.tabular.bandits.base import Agent, Floats, Ints, Player, argmax_random, require


class ContextualPlayer(Protocol):
    """N runs in progress, each step with a context."""

    def act(self, context_ND: Floats) -> Ints:
        """The arm [N] that each run pulls next."""

    def learn(self, context_ND: Floats, actions: Ints, rewards: Floats) -> None:
        """Take in what the pulls paid."""


class ContextualAgent(Protocol):
    """How to play a contextual bandit."""

    def begin(self, arms: int, features: int, keys_N: U64) -> ContextualPlayer:
        """A player at its first step; one key per run."""


@dataclass(frozen=True)
class LinUCB:
    """Disjoint LinUCB: ridge regression per arm, and the arm of largest θ_a·x + α√(xᵀA_a⁻¹x); ties at
    random.

    A_a = I + Σ x xᵀ over the arm's pulls, θ_a = A_a⁻¹ Σ r x. A⁻¹ is kept by rank-one updates
    (Sherman-Morrison).

    Attributes:
        alpha: α, the width of the bound (BanditBench: 0.5).

    Raises:
        HoneError: a negative α.
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        require(0 <= self.alpha < math.inf, "alpha", self.alpha, "at least 0")

    def begin(self, arms: int, features: int, keys_N: U64) -> LinUCBPlayer:
        """A player at its first step."""
        return LinUCBPlayer(self, arms, features, keys_N)


class LinUCBPlayer:
    """N runs of :class:`LinUCB`."""

    def __init__(self, agent: LinUCB, arms: int, features: int, keys_N: U64) -> None:
        runs = len(keys_N)
        self._alpha = agent.alpha
        self.inverse_NKDD: Floats = np.tile(np.eye(features), (runs, arms, 1, 1))
        self.theta_NKD: Floats = np.zeros((runs, arms, features))
        self._run = np.arange(runs)
        self._time = 0
        self._uniform = Streams(keys_N)

    def index(self, context_ND: Floats) -> Floats:
        """The bounds [N, K] of all arms in these contexts."""
        solved_NKD = (self.inverse_NKDD @ context_ND[:, None, :, None])[..., 0]
        variance_NK = (solved_NKD @ context_ND[:, :, None])[..., 0]
        mean_NK = (self.theta_NKD @ context_ND[:, :, None])[..., 0]
        bound_NK: Floats = mean_NK + self._alpha * np.sqrt(variance_NK)
        return bound_NK

    def act(self, context_ND: Floats) -> Ints:
        """The arm of highest bound."""
        return argmax_random(self.index(context_ND).T, self._uniform.at(self._time))

    def learn(self, context_ND: Floats, actions: Ints, rewards: Floats) -> None:
        """Rank-one update of the pulled arm.

        With g = A⁻¹x / (1 + xᵀA⁻¹x):  A⁻¹ ← A⁻¹ − g (A⁻¹x)ᵀ  and  θ ← θ + g (r − θ·x).
        """
        cell = (self._run, actions)
        inverse_NDD, theta_ND = self.inverse_NKDD[cell], self.theta_NKD[cell]
        solved_ND = (inverse_NDD @ context_ND[:, :, None])[..., 0]
        gain_ND = solved_ND / (1.0 + (solved_ND * context_ND).sum(axis=1, keepdims=True))
        self.inverse_NKDD[cell] = inverse_NDD - gain_ND[:, :, None] * solved_ND[:, None, :]
        error_N = rewards - (theta_ND * context_ND).sum(axis=1)
        self.theta_NKD[cell] = theta_ND + gain_ND * error_N[:, None]
        self._time += 1


@dataclass(frozen=True)
class WithoutContext:
    """A plain bandit agent in a contextual bandit: it sees actions and rewards only.

    Attributes:
        agent: the plain agent.
    """

    agent: Agent

    def begin(self, arms: int, features: int, keys_N: U64) -> WithoutContextPlayer:
        """A player at its first step."""
        return WithoutContextPlayer(self.agent.begin(arms, keys_N))


class WithoutContextPlayer:
    """N runs of :class:`WithoutContext`."""

    def __init__(self, player: Player) -> None:
        self._player = player

    def act(self, context_ND: Floats) -> Ints:
        """The plain agent's choice."""
        return self._player.act()

    def learn(self, context_ND: Floats, actions: Ints, rewards: Floats) -> None:
        """The plain agent's update."""
        self._player.learn(actions, rewards)
