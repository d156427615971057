"""The mean over the behaviour's next actions: expected SARSA (van Seijen et al. 2009)."""

from __future__ import annotations

from hone.tabular.learning.base import Transition
from hone.tabular.learning.values import Values
from hone.tabular.mdp import Floats, Ints


class ExpectedSarsa:
    """``Σ_a π(a|s') Q(s', a)``."""

    on_policy = False
    over_actions = True
    copies = 1

    def bootstrap(self, values: Values, row_K: Ints, judge_K: Ints, transition: Transition) -> Floats:
        """[K] expectations under the behaviour policy."""
        state_K = transition.next_state
        q_KA = values.rows.take(row_K * values.states + state_K, axis=0)
        expected: Floats = (values.policy.probabilities(q_KA, state_K) * q_KA).sum(axis=1)
        return expected
