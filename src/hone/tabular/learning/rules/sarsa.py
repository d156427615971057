"""The value of the next state and the action taken there: SARSA (Rummery and Niranjan 1994)."""

from __future__ import annotations

from hone.tabular.learning.base import Transition
from hone.tabular.learning.values import Values
from hone.tabular.mdp import Floats, Ints


class Sarsa:
    """``Q(s', a')``."""

    on_policy = True
    over_actions = True
    copies = 1

    def bootstrap(self, values: Values, row_K: Ints, judge_K: Ints, transition: Transition) -> Floats:
        """[K] table entries of the next states and actions."""
        return values.flat.take(values.index(row_K, transition.next_state, transition.next_action))
