"""Which states can end: what γ = 1 needs.

A policy is *proper* if it reaches a terminal state with probability 1 from everywhere. Without discounting
only such policies have a value in general, so at γ = 1 every planner here finds the best **proper** policy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from hone.core.errors import HoneError
from hone.tabular.mdp import MDP, Bools, Floats, Ints


def check_discount(mdp: MDP, gamma: float) -> None:
    """Refuse a discount for which the model has no value.

    Raises:
        HoneError: γ is outside [0, 1], or γ = 1 and from some state no policy ever reaches a terminal state.
    """
    if not 0 <= gamma <= 1:
        raise HoneError("the discount is out of range", got=f"gamma = {gamma}", expected="0 to 1")
    if gamma == 1:
        _refuse_endless(_parents(mdp.transition, mdp.terminal_S), mdp.terminal_S, "no policy ends")


def check_proper(transition_SS: Any, terminal_S: Bools) -> None:
    """Refuse a policy, given by its transitions, that never ends from some state.

    Raises:
        HoneError: the state is named.
    """
    _refuse_endless(_parents(transition_SS, terminal_S), terminal_S, "the policy never ends")


def proper_policy(mdp: MDP) -> Ints:
    """[S] actions each of which may lead one step nearer to a terminal state; reaches one for certain."""
    return _nearer(mdp, mdp.allowed_AS)[1]


def greedy(mdp: MDP, q_AS: Floats, gamma: float, slack: float = 1e-9) -> Ints:
    """[S] actions of largest value; ties go to the lowest action, except at γ = 1.

    There a tied action may postpone the end for ever (walking into a wall costs nothing), so among the
    actions within ``slack`` of the best (relative to the largest value) the one that leads to an end is
    taken.
    """
    best_S = q_AS.max(axis=0)
    policy_S: Ints = q_AS.argmax(axis=0)
    if gamma < 1:
        return policy_S
    tied_AS = q_AS >= best_S - slack * max(1.0, float(np.abs(best_S).max()))
    reached_S, nearer_S = _nearer(mdp, tied_AS & mdp.allowed_AS)
    return np.where(reached_S, nearer_S, policy_S)


def _nearer(mdp: MDP, usable_AS: Bools) -> tuple[Bools, Ints]:
    """Where usable actions can reach an end, and the first usable action that may lead nearer to it."""
    rows = sparse.coo_array(mdp.transition)
    state, action = rows.row % mdp.states, rows.row // mdp.states
    keep = usable_AS[action, state] & (rows.data > 0)
    state, action, following = state[keep], action[keep], rows.col[keep]
    graph = sparse.csr_array((np.ones(len(state)), (state, following)), shape=(mdp.states, mdp.states))
    parent_S = _parents(graph, mdp.terminal_S)
    leads = following == parent_S[state]
    policy_S = np.full(mdp.states, mdp.actions)
    np.minimum.at(policy_S, state[leads], action[leads])
    reached_S = (policy_S < mdp.actions) | mdp.terminal_S
    return reached_S, np.where(policy_S < mdp.actions, policy_S, 0)


def _parents(transition: Any, terminal_S: Bools) -> Ints:
    """[S] the next state on a shortest way to the end (S: it is one; −1: there is none)."""
    states = len(terminal_S)
    edges = sparse.coo_array(transition)
    keep = edges.data > 0
    ends = np.flatnonzero(terminal_S)
    source = np.concatenate([edges.col[keep], np.full(len(ends), states)])
    target = np.concatenate([edges.row[keep] % states, ends])
    backward = sparse.csr_array((np.ones(len(source)), (source, target)), shape=(states + 1, states + 1))
    _, parent = csgraph.breadth_first_order(backward, states, directed=True, return_predecessors=True)
    return np.where(parent[:states] < 0, -1, parent[:states])


def _refuse_endless(parent_S: Ints, terminal_S: Bools, fault: str) -> None:
    endless = (parent_S < 0) & ~terminal_S
    if endless.any():
        raise HoneError(
            f"with gamma = 1 every state must be able to end, and {fault} from one of them",
            where=f"state {int(endless.argmax())} and {int(endless.sum()) - 1} more",
            got=f"{int(terminal_S.sum())} terminal states",
            do="use gamma below 1, or mark the states that end an episode as terminal",
        )
