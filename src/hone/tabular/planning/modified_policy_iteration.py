"""Modified policy iteration (Puterman & Shin 1978): a greedy backup, then cheap sweeps of that policy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hone.tabular.mdp import MDP
from hone.tabular.planning.base import MAX_SWEEPS, TOLERANCE, Solution, no_convergence, solution, start_values


def modified_policy_iteration(
    mdp: MDP,
    gamma: float,
    tolerance: float = TOLERANCE,
    initial: ArrayLike | None = None,
    evaluation_sweeps: int = 50,
    max_sweeps: int = MAX_SWEEPS,
) -> Solution:
    """Alternate one full backup with ``evaluation_sweeps`` backups of the greedy policy alone.

    A policy's sweep reads one row per state instead of A and takes no maximum. With 0 evaluation sweeps it is
    value iteration, with infinitely many policy iteration.

    Raises:
        HoneError: the discount does not suit the model; no convergence within ``max_sweeps`` greedy backups.
    """
    value_S = start_values(mdp, gamma, initial)
    state = np.arange(mdp.states)
    shift = gamma / (1 - gamma) if gamma < 1 and not mdp.terminal_S.any() else 0.0
    residuals: list[float] = []
    backups = 0
    while len(residuals) < max_sweeps:
        q_AS = mdp.backup(value_S, gamma)
        policy_S = q_AS.argmax(axis=0)
        following = q_AS[policy_S, state]
        change = following - value_S
        residuals.append(float(np.abs(change).max()))
        backups += mdp.states
        if residuals[-1] <= tolerance:
            return solution(mdp, value_S, gamma, backups=backups, residuals=residuals)
        value_S = following + shift * 0.5 * float(change.min() + change.max())
        discounted_SS = mdp.transition[policy_S * mdp.states + state] * gamma
        reward_S = mdp.reward_AS[policy_S, state]
        for _ in range(evaluation_sweeps):
            following = discounted_SS @ value_S
            following += reward_S
            change = following - value_S
            low, high = float(change.min()), float(change.max())
            value_S = following + shift * 0.5 * (low + high) if shift else following
            backups += mdp.states
            if max(high, -low) <= 0.1 * tolerance or high - low <= 0.1 * tolerance * (1 - gamma):
                break
    raise no_convergence("modified policy iteration", residuals[-1], max_sweeps, tolerance)
