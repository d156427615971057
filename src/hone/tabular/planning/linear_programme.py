"""The linear programme of a Markov decision process: an oracle that shares no code with the sweeps."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from hone.core.errors import HoneError
from hone.tabular.mdp import MDP
from hone.tabular.planning.base import Solution, solution
from hone.tabular.proper import check_discount


def linear_programme(mdp: MDP, gamma: float) -> Solution:
    """Minimise ``Σ_s v(s)`` subject to ``v(s) ≥ r(s,a) + γ Σ_t p(t|s,a) v(t)``, v = 0 at terminals.

    Solved by HiGHS; for small models (some thousand states). At γ = 1 the optimum is that of proper policies.

    Raises:
        HoneError: the discount does not suit the model, or the programme has no solution (an endless loop
            earns reward).
    """
    check_discount(mdp, gamma)
    states = mdp.states
    used = (mdp.allowed_AS & ~mdp.terminal_S).ravel()
    own = sparse.vstack([sparse.eye_array(states)] * mdp.actions)
    constraint = sparse.csr_array(gamma * sparse.csr_array(mdp.transition) - own)[np.flatnonzero(used)]
    bounds = [(0.0, 0.0) if terminal else (None, None) for terminal in mdp.terminal_S]
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    limit = -mdp.reward_AS.ravel()[used]
    result = linprog(np.ones(states), constraint, limit, bounds=bounds, method="highs", options=options)
    if result.status != 0:
        raise HoneError(
            "the linear programme has no solution",
            got=result.message,
            do="check that no endless loop earns reward",
        )
    return solution(mdp, np.asarray(result.x, dtype=float), gamma)
