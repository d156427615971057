"""Backward induction: what can be done in a fixed number of steps, by a policy that sees the time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hone.core.errors import HoneError
from hone.tabular.mdp import MDP, Floats, Ints


@dataclass(frozen=True, eq=False)
class FiniteHorizon:
    """Optimal values and actions by time step.

    Attributes:
        value_HS: [H+1, S] value with ``H − h`` steps to go at time h; the last row is the value at the end.
        policy_HS: [H, S] action at time h.
    """

    value_HS: Floats
    policy_HS: Ints


def finite_horizon(mdp: MDP, horizon: int, gamma: float = 1.0, final: ArrayLike | None = None) -> FiniteHorizon:
    """``v_h = max_a (r + γ P v_{h+1})`` backwards from the end; exact for every model and discount.

    Args:
        horizon: number of steps H.
        final: [S] value of the states in which time runs out (default 0).

    Raises:
        HoneError: a negative horizon or a discount outside [0, 1].
    """
    if horizon < 0 or not 0 <= gamma <= 1:
        raise HoneError(
            "the horizon or the discount is out of range",
            got=f"horizon {horizon}, gamma {gamma}",
            expected="a horizon of 0 or more and gamma from 0 to 1",
        )
    value_HS = np.zeros((horizon + 1, mdp.states))
    policy_HS = np.zeros((horizon, mdp.states), dtype=np.int64)
    if final is not None:
        value_HS[horizon] = np.where(mdp.terminal_S, 0.0, np.asarray(final, dtype=float))
    for time in reversed(range(horizon)):
        q_AS = mdp.backup(value_HS[time + 1], gamma)
        policy_HS[time] = q_AS.argmax(axis=0)
        value_HS[time] = q_AS.max(axis=0)
    return FiniteHorizon(value_HS, policy_HS)
