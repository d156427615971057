"""The protocol of an update rule."""

from __future__ import annotations

from typing import Protocol

from hone.tabular.learning.base import Transition
from hone.tabular.learning.values import Values
from hone.tabular.mdp import Floats, Ints


class Rule(Protocol):
    """How the value of the next state is read from the table.

    Attributes:
        on_policy: the next action is needed.
        over_actions: the table holds values of actions, not of states.
        copies: tables per run.
    """

    on_policy: bool
    over_actions: bool
    copies: int

    def bootstrap(self, values: Values, row_K: Ints, judge_K: Ints, transition: Transition) -> Floats:
        """[K] value of the next state.

        Args:
            row_K: the copies that learn (see :meth:`Values.rows_to_learn`).
            judge_K: the copies that judge.
        """
