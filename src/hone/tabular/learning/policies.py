"""Behaviour and target policies over a table's action values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from hone.core.errors import HoneError
from hone.tabular.mdp import ROW_TOLERANCE, Bools, Floats, Ints


def row_max(q_KA: Floats) -> Floats:
    """[K] largest value of each row: NumPy reduces long rows quickly and many short ones slowly, so transpose."""
    largest: Floats = q_KA.T.copy().max(axis=0)
    return largest


class Policy(Protocol):
    """How actions follow from action values and states."""

    def act(self, q_KA: Floats, state_K: Ints, rng: np.random.Generator) -> Ints:
        """Draw actions [K]."""

    def probabilities(self, q_KA: Floats, state_K: Ints) -> Floats:
        """[K, A] probabilities of the actions."""


@dataclass(frozen=True)
class EpsilonGreedy:
    """The best action, or with probability ``epsilon`` any action.

    Attributes:
        epsilon: share of random actions; 0 is greedy.
        random_ties: ties are drawn evenly; otherwise the first best action is taken, which is faster.
    """

    epsilon: float = 0.1
    random_ties: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise HoneError("epsilon is out of range", got=str(self.epsilon), expected="0 to 1")

    def act(self, q_KA: Floats, state_K: Ints, rng: np.random.Generator) -> Ints:
        """One uniform decides whether to explore and, rescaled, which action."""
        best: Ints = q_KA.argmax(1)
        if self.random_ties:
            best = (rng.random(q_KA.shape) * self._ties(q_KA)).argmax(1)
        if self.epsilon == 0:
            return best
        uniform = rng.random(len(q_KA))
        explored = (uniform * (q_KA.shape[1] / self.epsilon)).astype(np.int64)
        return np.where(uniform < self.epsilon, explored, best)

    def probabilities(self, q_KA: Floats, state_K: Ints) -> Floats:
        """``(1−ε)`` shared by the best actions, ``ε/A`` for each."""
        if self.random_ties:
            best = self._ties(q_KA).astype(float)
            best *= (1 - self.epsilon) / best.sum(1, keepdims=True)
        else:
            best = np.zeros_like(q_KA)
            best[np.arange(len(q_KA)), q_KA.argmax(1)] = 1 - self.epsilon
        return np.asarray(best + self.epsilon / q_KA.shape[1])

    def _ties(self, q_KA: Floats) -> Bools:
        ties: Bools = q_KA == row_max(q_KA)[:, None]
        return ties


class Fixed:
    """The same distribution in a state whatever was learnt: for prediction and as an off-policy behaviour.

    Args:
        probability_SA: [S, A].

    Raises:
        HoneError: a row is not a distribution.
    """

    def __init__(self, probability_SA: ArrayLike) -> None:
        self.probability_SA = np.asarray(probability_SA, dtype=float)
        wrong = (np.abs(self.probability_SA.sum(1) - 1) > ROW_TOLERANCE) | (self.probability_SA.min(1) < 0)
        if wrong.any():
            state = int(wrong.argmax())
            got = str(self.probability_SA[state])
            raise HoneError("the policy is not a distribution", where=f"state {state}", got=got, expected="sum 1")
        self._cut = np.cumsum(self.probability_SA, axis=1)[:, :-1]

    @classmethod
    def uniform(cls, states: int, actions: int) -> Fixed:
        """Every action alike."""
        return cls(np.full((states, actions), 1 / actions))

    def act(self, q_KA: Floats, state_K: Ints, rng: np.random.Generator) -> Ints:
        """By inverse distribution function."""
        drawn: Ints = (rng.random(len(state_K))[:, None] >= self._cut.take(state_K, axis=0)).sum(axis=1)
        return drawn

    def probabilities(self, q_KA: Floats, state_K: Ints) -> Floats:
        """Rows of the table."""
        return self.probability_SA.take(state_K, axis=0)
