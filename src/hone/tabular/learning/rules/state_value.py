"""The value of the next state itself: TD prediction (Sutton 1988)."""

from __future__ import annotations

from hone.tabular.learning.base import Transition
from hone.tabular.learning.values import Values
from hone.tabular.mdp import Floats, Ints


class StateValue:
    """``V(s')``."""

    on_policy = False
    over_actions = False
    copies = 1

    def bootstrap(self, values: Values, row_K: Ints, judge_K: Ints, transition: Transition) -> Floats:
        """[K] table entries of the next states."""
        return values.flat.take(row_K * values.states + transition.next_state)
