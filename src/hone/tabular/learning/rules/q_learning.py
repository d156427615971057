"""The best next action, whatever is done: Q-learning (Watkins 1989)."""

from __future__ import annotations

from hone.tabular.learning.base import Transition
from hone.tabular.learning.policies import row_max
from hone.tabular.learning.values import Values
from hone.tabular.mdp import Floats, Ints


class QLearning:
    """``max_a Q(s', a)``."""

    on_policy = False
    over_actions = True
    copies = 1

    def bootstrap(self, values: Values, row_K: Ints, judge_K: Ints, transition: Transition) -> Floats:
        """[K] maxima."""
        return row_max(values.rows.take(row_K * values.states + transition.next_state, axis=0))
