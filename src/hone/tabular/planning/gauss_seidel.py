"""Gauss–Seidel value iteration: each block of states is backed up with the newest values of the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hone.tabular.mdp import MDP
from hone.tabular.planning.base import MAX_SWEEPS, TOLERANCE, Solution, no_convergence, solution, start_values


def gauss_seidel(
    mdp: MDP,
    gamma: float,
    tolerance: float = TOLERANCE,
    initial: ArrayLike | None = None,
    max_sweeps: int = MAX_SWEEPS,
    blocks: int | None = None,
    order: ArrayLike | None = None,
) -> Solution:
    """Sweep through the states in place until the Bellman residual is ``tolerance`` or less.

    Args:
        blocks: how many blocks a sweep has. One state each (the classical method) up to 1,000 states by
            default, then 64 blocks, each of which is one matrix product. One block is synchronous value
            iteration.
        order: [S] the order of the states in a sweep (default: by number). Information travels a whole
            sweep's length along it.

    Raises:
        HoneError: the discount does not suit the model; no convergence within ``max_sweeps``.
    """
    value_S = start_values(mdp, gamma, initial)
    states, actions = mdp.states, mdp.actions
    sequence = np.arange(states) if order is None else np.asarray(order)
    count = min(states, blocks or (states if states <= 1_000 else 64))
    parts = []
    for block in np.array_split(sequence, count):
        rows = (np.arange(actions)[:, None] * states + block).ravel()
        barred = np.where(mdp.allowed_AS[:, block], 0.0, -np.inf)
        parts.append((block, mdp.transition[rows] * gamma, mdp.reward_AS[:, block] + barred))
    residuals: list[float] = []
    while len(residuals) < max_sweeps:
        largest = 0.0
        for block, discounted, reward in parts:
            best = ((discounted @ value_S).reshape(actions, len(block)) + reward).max(axis=0)
            largest = max(largest, float(np.abs(best - value_S[block]).max()))
            value_S[block] = best
        residuals.append(largest)
        # A sweep's changes were measured against values that moved meanwhile: the residual is taken
        # afterwards.
        if largest <= tolerance and mdp.residual(value_S, gamma) <= tolerance:
            return solution(mdp, value_S, gamma, backups=len(residuals) * states, residuals=residuals)
    raise no_convergence("Gauss-Seidel value iteration", residuals[-1], max_sweeps, tolerance)
