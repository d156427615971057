"""What every planner returns, how sure it is, and from which values it may start."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hone.core.errors import HoneError
from hone.tabular.evaluation import evaluate_exact
from hone.tabular.mdp import MDP, Floats, Ints
from hone.tabular.proper import check_discount, greedy, proper_policy

TOLERANCE = 1e-10
"""Bellman residual at which a planner stops unless told otherwise."""
MAX_SWEEPS = 1_000_000


@dataclass(frozen=True, eq=False)
class Solution:
    """Optimal values and a policy that is greedy for them.

    Attributes:
        value_S: state values.
        policy_S: one best action per state (0 in terminal states).
        gamma: the discount.
        residual: ``max_s |max_a q(s,a) − v(s)|`` of ``value_S``.
        backups: state backups made: S times the number of sweeps for methods that sweep.
        residuals: largest change of a value in each sweep or iteration, for pictures.
        changes: states whose action changed in each policy improvement (policy iteration only).
    """

    value_S: Floats
    policy_S: Ints
    gamma: float
    residual: float
    backups: int = 0
    residuals: tuple[float, ...] = ()
    changes: tuple[int, ...] = ()

    @property
    def sweeps(self) -> int:
        """Sweeps or iterations made."""
        return len(self.residuals)

    @property
    def bound(self) -> float:
        """``residual / (1−γ)``: no value is further from the optimum; infinite at γ = 1."""
        return math.inf if self.gamma == 1 else self.residual / (1 - self.gamma)

    @property
    def policy_bound(self) -> float:
        """``2 · residual / (1−γ)``: the policy loses no more than this in any state; infinite at γ = 1."""
        return 2 * self.bound


def solution(
    mdp: MDP,
    value_S: Floats,
    gamma: float,
    *,
    backups: int = 0,
    residuals: list[float] | None = None,
    changes: tuple[int, ...] = (),
    policy_S: Ints | None = None,
) -> Solution:
    """The result for values that have converged: one more backup gives the residual, and the policy if need be."""
    q_AS = mdp.backup(value_S, gamma)
    residual = float(np.abs(q_AS.max(axis=0) - value_S).max())
    policy_S = np.where(mdp.terminal_S, 0, greedy(mdp, q_AS, gamma) if policy_S is None else policy_S)
    return Solution(value_S, policy_S, gamma, residual, backups, tuple(residuals or ()), changes)


def start_values(mdp: MDP, gamma: float, initial: ArrayLike | None = None) -> Floats:
    """[S] where to start: what the caller gives, else 0, else (γ = 1) the values of some proper policy.

    From below, value iteration without discounting converges to the best *proper* policy's values; from 0 it
    may stop at the value of never ending, where that costs nothing.

    Raises:
        HoneError: the discount does not suit the model, or the initial values do not fit.
    """
    check_discount(mdp, gamma)
    if initial is not None:
        value_S = np.array(initial, dtype=float)
        if value_S.shape != (mdp.states,):
            raise HoneError("the initial values do not fit", got=f"{value_S.shape}", expected=f"({mdp.states},)")
        value_S[mdp.terminal_S] = 0
        return value_S
    if gamma == 1:
        return evaluate_exact(mdp, proper_policy(mdp), gamma).value_S
    return np.zeros(mdp.states)


def no_convergence(method: str, change: float, sweeps: int, tolerance: float) -> HoneError:
    """The error of a method that ran out of sweeps."""
    return HoneError(
        f"{method} did not converge",
        got=f"a change of {change:.3g} after {sweeps} sweeps",
        expected=f"{tolerance:.3g} or less",
        do="raise the tolerance (rounding limits it to about 1e-15 of the values), or check "
        "with gamma = 1 that no endless loop earns reward",
    )
