"""Policy evaluation: the value of a policy, by linear solve, by sweeps, or for a number of steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse import linalg

from hone.core.errors import HoneError
from hone.tabular.mdp import MDP, Floats
from hone.tabular.proper import check_discount, check_proper


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Values of a policy.

    Attributes:
        value_S: state values.
        residual: ``max_s |r_π + γ P_π v − v|``.
        sweeps: backups of all states that were made.
    """

    value_S: Floats
    residual: float
    sweeps: int


def evaluate_exact(mdp: MDP, policy: ArrayLike, gamma: float) -> Evaluation:
    """Solve ``(I − γ P_π) v = r_π`` over the states that are not terminal.

    Args:
        policy: [S] actions or [S, A] probabilities.

    Raises:
        HoneError: the policy does not fit the model, or γ = 1 and it never ends from some state.
    """
    check_discount(mdp, gamma)
    transition_SS, reward_S = mdp.under(policy)
    if gamma == 1:
        check_proper(transition_SS, mdp.terminal_S)
    live = np.flatnonzero(~mdp.terminal_S)
    value_S = np.zeros(mdp.states)
    if sparse.issparse(transition_SS):
        among = sparse.csc_array(transition_SS[live][:, live])
        system = sparse.csc_array(sparse.eye_array(len(live)) - gamma * among)
        value_S[live] = linalg.spsolve(system, reward_S[live])
    else:
        among = transition_SS[np.ix_(live, live)]
        value_S[live] = np.linalg.solve(np.eye(len(live)) - gamma * among, reward_S[live])
    residual = float(np.abs(reward_S + gamma * (transition_SS @ value_S) - value_S).max())
    return Evaluation(value_S, residual, 0)


def evaluate_iterative(
    mdp: MDP,
    policy: ArrayLike,
    gamma: float,
    tolerance: float = 1e-10,
    initial: ArrayLike | None = None,
    max_sweeps: int = 1_000_000,
) -> Evaluation:
    """Repeat ``v ← r_π + γ P_π v`` until a sweep changes no value by more than ``tolerance``.

    For γ < 1 the result is within ``γ/(1−γ) · residual`` of the policy's values.

    Raises:
        HoneError: as :func:`evaluate_exact`; or the tolerance was not reached in ``max_sweeps``.
    """
    check_discount(mdp, gamma)
    transition_SS, reward_S = mdp.under(policy)
    if gamma == 1:
        check_proper(transition_SS, mdp.terminal_S)
    value_S = np.zeros(mdp.states) if initial is None else np.where(mdp.terminal_S, 0.0, np.asarray(initial))
    for sweep in range(1, max_sweeps + 1):
        following = reward_S + gamma * (transition_SS @ value_S)
        change = float(np.abs(following - value_S).max())
        value_S = following
        if change <= tolerance:
            residual = float(np.abs(reward_S + gamma * (transition_SS @ value_S) - value_S).max())
            return Evaluation(value_S, residual, sweep)
    raise HoneError(
        "policy evaluation did not converge",
        got=f"a change of {change:.3g} in sweep {max_sweeps}",
        expected=f"{tolerance:.3g} or less",
        do="raise the tolerance, or use the exact solve",
    )


def evaluate_steps(mdp: MDP, policy: ArrayLike, gamma: float, steps: int) -> Floats:
    """[S] expected (discounted) sum of the first ``steps`` rewards; defined for every policy and every γ."""
    transition_SS, reward_S = mdp.under(policy)
    value_S = np.zeros(mdp.states)
    for _ in range(steps):
        value_S = reward_S + gamma * (transition_SS @ value_S)
    return value_S


def random_policy(mdp: MDP) -> Floats:
    """[S, A] equal probabilities for the actions that each state has."""
    allowed = mdp.allowed_AS.T.astype(float)
    return np.asarray(allowed / allowed.sum(1, keepdims=True))
