"""One table chooses the next action, the other judges it: double Q-learning (van Hasselt 2010)."""

from __future__ import annotations

from hone.tabular.learning.base import Transition
from hone.tabular.learning.values import Values
from hone.tabular.mdp import Floats, Ints


class DoubleQLearning:
    """``Q₂(s', argmax_a Q₁(s', a))``, where a coin decides at each step which table is Q₁ and learns."""

    on_policy = False
    over_actions = True
    copies = 2

    def bootstrap(self, values: Values, row_K: Ints, judge_K: Ints, transition: Transition) -> Floats:
        """[K] values by the judge of the learner's best actions."""
        state_K = transition.next_state
        best_K = values.rows.take(row_K * values.states + state_K, axis=0).argmax(axis=1)
        return values.flat.take(values.index(judge_K, state_K, best_K))
