"""Planners: the optimal values and policy of a known model, one method per file, all returning a Solution."""

from hone.tabular.planning.base import Solution
from hone.tabular.planning.finite_horizon import FiniteHorizon, finite_horizon
from hone.tabular.planning.gauss_seidel import gauss_seidel
from hone.tabular.planning.linear_programme import linear_programme
from hone.tabular.planning.modified_policy_iteration import modified_policy_iteration
from hone.tabular.planning.policy_iteration import policy_iteration
from hone.tabular.planning.prioritised import prioritised
from hone.tabular.planning.value_iteration import value_iteration

__all__ = [
    "FiniteHorizon",
    "Solution",
    "finite_horizon",
    "gauss_seidel",
    "linear_programme",
    "modified_policy_iteration",
    "policy_iteration",
    "prioritised",
    "value_iteration",
]
