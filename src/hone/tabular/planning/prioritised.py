"""Prioritised value iteration: back up only where the Bellman error is large, then look at predecessors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from hone.tabular.mdp import MDP, Floats
from hone.tabular.planning.base import TOLERANCE, Solution, no_convergence, solution, start_values


def prioritised(
    mdp: MDP,
    gamma: float,
    tolerance: float = TOLERANCE,
    initial: ArrayLike | None = None,
    share: float = 0.5,
    max_backups: int = 1_000_000_000,
) -> Solution:
    """Back up in each pass the states whose error is at least ``share`` of the largest, until all are small.

    The priorities of prioritised sweeping (Moore and Atkeson 1993) with the heap replaced by a threshold, so
    that a pass is a few array operations; ``share=1`` is the strict order, up to ties.

    Raises:
        HoneError: the discount does not suit the model; no convergence within ``max_backups`` state backups.
    """
    value_S = start_values(mdp, gamma, initial)
    states = mdp.states
    transition = sparse.csr_array(mdp.transition)
    edges = sparse.coo_array(transition)
    ones = np.ones(edges.nnz, dtype=np.int8)
    predecessor = sparse.csr_array((ones, (edges.col, edges.row % states)), shape=(states, states))
    best_S = mdp.backup(value_S, gamma).max(axis=0)
    error_S = np.abs(best_S - value_S)
    backups, residuals = states, [float(error_S.max())]
    while residuals[-1] > tolerance:
        if backups > max_backups:
            raise no_convergence("prioritised value iteration", residuals[-1], backups // states, tolerance)
        chosen = np.flatnonzero(error_S >= max(share * residuals[-1], tolerance))
        value_S[chosen] = best_S[chosen]
        touched = np.union1d(chosen, predecessor[chosen].indices)
        best_S[touched] = _backup(mdp, transition, value_S, gamma, touched)
        error_S[touched] = np.abs(best_S[touched] - value_S[touched])
        backups += len(touched)
        residuals.append(float(error_S.max()))
    return solution(mdp, value_S, gamma, backups=backups, residuals=residuals)


def _backup(mdp: MDP, transition: Any, value_S: Floats, gamma: float, chosen: Any) -> Floats:
    """Best action value of the chosen states only."""
    rows = (np.arange(mdp.actions)[:, None] * mdp.states + chosen).ravel()
    q = mdp.reward_AS[:, chosen] + gamma * (transition[rows] @ value_S).reshape(mdp.actions, len(chosen))
    best: Floats = np.where(mdp.allowed_AS[:, chosen], q, -np.inf).max(axis=0)
    return best
