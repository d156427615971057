"""Value iteration, synchronous: ``v ← max_a (r + γ P v)`` for all states at once (Bellman 1957)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hone.tabular.mdp import MDP
from hone.tabular.planning.base import MAX_SWEEPS, TOLERANCE, Solution, no_convergence, solution, start_values


def value_iteration(
    mdp: MDP,
    gamma: float,
    tolerance: float = TOLERANCE,
    initial: ArrayLike | None = None,
    max_sweeps: int = MAX_SWEEPS,
) -> Solution:
    """Sweep until the Bellman residual is ``tolerance`` or less.

    In a model without terminal states every sweep also adds the constant ``γ/(1−γ)`` times the middle of the
    smallest
    and the largest change: MacQueen's (1966) bounds put the optimum within half that span of it. A constant
        commutes
    with the backup, so the contraction is the same in span and much faster in the maximum norm when the chain
    mixes.

    Raises:
        HoneError: the discount does not suit the model; no convergence within ``max_sweeps``.
    """
    value_S = start_values(mdp, gamma, initial)
    shift = gamma / (1 - gamma) if gamma < 1 and not mdp.terminal_S.any() else 0.0
    residuals: list[float] = []
    while len(residuals) < max_sweeps:
        following = mdp.backup(value_S, gamma).max(axis=0)
        change = following - value_S
        residuals.append(float(np.abs(change).max()))
        if residuals[-1] <= tolerance:
            backups = len(residuals) * mdp.states
            return solution(mdp, value_S, gamma, backups=backups, residuals=residuals)
        value_S = following + shift * 0.5 * float(change.min() + change.max())
    raise no_convergence("value iteration", residuals[-1], max_sweeps, tolerance)
