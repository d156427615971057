"""Policy iteration: evaluate the policy exactly, act greedily, until no action changes (Howard 1960)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hone.core.errors import HoneError
from hone.tabular.evaluation import evaluate_exact
from hone.tabular.mdp import MDP
from hone.tabular.planning.base import TOLERANCE, Solution, solution
from hone.tabular.planning.value_iteration import value_iteration
from hone.tabular.proper import check_discount, proper_policy

_ROUNDING = 1e-12
"""An action must be better by more than this share of the largest value to replace another."""


def policy_iteration(
    mdp: MDP,
    gamma: float,
    tolerance: float = TOLERANCE,
    initial: ArrayLike | None = None,
    max_iterations: int = 1_000,
) -> Solution:
    """Improve a policy until it is stable; a tied action is never exchanged.

    Evaluation is a direct linear solve: exact, and heavy beyond some ten thousand states unless the model is
        nearly a
    chain; :func:`~hone.tabular.planning.modified_policy_iteration.modified_policy_iteration` scales.

    Args:
        initial: [S] actions to start from; by default the first allowed action, at γ = 1 a policy that always
            ends.

    Raises:
        HoneError: the discount does not suit the model; at γ = 1 the initial policy never ends, or an endless
            loop earns reward so that no optimum exists.
    """
    check_discount(mdp, gamma)
    state = np.arange(mdp.states)
    default = proper_policy(mdp) if gamma == 1 else mdp.allowed_AS.argmax(axis=0)
    policy_S = np.array(default if initial is None else initial)
    value_S = evaluate_exact(mdp, policy_S, gamma).value_S
    residuals: list[float] = []
    changes: list[int] = []
    while len(changes) < max_iterations:
        q_AS = mdp.backup(value_S, gamma)
        best_S = q_AS.argmax(axis=0)
        gain_S = q_AS[best_S, state] - q_AS[policy_S, state]
        better = gain_S > _ROUNDING * max(1.0, float(np.abs(value_S).max()))
        residuals.append(float(gain_S.max()))
        changes.append(int(better.sum()))
        if not better.any():
            break
        policy_S = np.where(better, best_S, policy_S)
        try:
            value_S = evaluate_exact(mdp, policy_S, gamma).value_S
        except HoneError as error:
            raise HoneError(
                "there is no optimal value: with gamma = 1 an endless loop earns reward",
                where=error.where,
                do="use gamma below 1",
            ) from error
    if mdp.residual(value_S, gamma) > tolerance:  # a few sweeps remove what rounding of the solve left
        value_S = value_iteration(mdp, gamma, tolerance, initial=value_S).value_S
    backups = len(changes) * mdp.states
    return solution(
        mdp,
        value_S,
        gamma,
        backups=backups,
        residuals=residuals,
        changes=tuple(changes),
        policy_S=policy_S,
    )
