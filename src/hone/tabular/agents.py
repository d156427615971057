"""Learners by name: an update rule with one-step, n-step or trace credit, Monte Carlo, Dyna."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hone.core.errors import HoneError, nearest
from hone.core.resolve import names, resolve
from hone.tabular.learning.base import Environments
from hone.tabular.learning.dyna_q import DynaQ
from hone.tabular.learning.monte_carlo import MonteCarlo
from hone.tabular.learning.n_step import NStep
from hone.tabular.learning.off_policy_monte_carlo import OffPolicyMonteCarlo
from hone.tabular.learning.one_step import OneStep
from hone.tabular.learning.policies import EpsilonGreedy
from hone.tabular.learning.prioritised_sweeping import PrioritisedSweeping
from hone.tabular.learning.traces import Traces
from hone.tabular.learning.values import Values

RULES = "hone.tabular.learning.rules"
WHOLE = ("monte_carlo", "off_policy_monte_carlo", "dyna_q", "prioritised_sweeping")
"""Learners that are more than a rule."""


@dataclass(frozen=True)
class Settings:
    """Options of a learner.

    Attributes:
        gamma: discount.
        step_size: α; Monte Carlo averages instead.
        epsilon: share of random actions.
        n: steps of credit before the bootstrap.
        trace: λ of eligibility traces; 0 has none.
        planning: planned updates per step (Dyna-Q, prioritised sweeping).
        bonus: κ of Dyna-Q+.
        initial: value of every entry at the start.
    """

    gamma: float = 0.99
    step_size: float = 0.5
    epsilon: float = 0.1
    n: int = 1
    trace: float = 0.0
    planning: int = 10
    bonus: float = 0.0
    initial: float = 0.0


def learner_names() -> list[str]:
    """Every name that :func:`make_learner` knows: the files of the rules (for control), and ``WHOLE``."""
    return sorted([name for name in names(RULES) if name != "state_value"] + list(WHOLE))


def planner_names() -> list[str]:
    """Every planner that returns a Solution: the files of hone.tabular.planning."""
    return [name for name in names("hone.tabular.planning") if name != "finite_horizon"]


def planner(name: str) -> Callable[..., Any]:
    """The planner of this name: ``f(mdp, gamma)``, see :mod:`hone.tabular.planning`."""
    found: Callable[..., Any] = getattr(importlib.import_module(f"hone.tabular.planning.{name}"), name)
    return found


def make_learner(name: str, environments: Environments, s: Settings, rng: np.random.Generator) -> Values:
    """A batch of learners, one for each run of ``environments``.

    Raises:
        HoneError: an unknown name, an option the learner would ignore, or a value out of range.
    """
    if name not in (known := learner_names()):
        raise HoneError("unknown learner", got=f'"{name}"', expected=nearest(name, known))
    _refuse_ignored(name, s)
    policy = EpsilonGreedy(s.epsilon)
    if name == "monte_carlo":
        return MonteCarlo(environments, s.gamma, "average", policy, rng, initial=s.initial)
    if name == "off_policy_monte_carlo":
        return OffPolicyMonteCarlo(environments, s.gamma, policy, EpsilonGreedy(0.0, False), rng, initial=s.initial)
    if name == "dyna_q":
        return DynaQ(environments, s.gamma, s.step_size, policy, rng, s.planning, s.bonus, s.initial)
    if name == "prioritised_sweeping":
        return PrioritisedSweeping(environments, s.gamma, s.step_size, policy, rng, s.planning, initial=s.initial)
    rule = resolve(name, RULES, "update rule")()
    if s.trace:
        return Traces(environments, rule, s.trace, s.gamma, s.step_size, policy, rng, s.initial)
    if s.n != 1:
        return NStep(environments, rule, s.n, s.gamma, s.step_size, policy, rng, s.initial)
    return OneStep(environments, rule, s.gamma, s.step_size, policy, rng, s.initial)


def _refuse_ignored(name: str, s: Settings) -> None:
    """An option that changes nothing is a mistake."""
    plain, default = name not in WHOLE, Settings()
    ignored = {
        "n": not plain or s.trace != 0,
        "trace": not plain,
        "planning": name not in ("dyna_q", "prioritised_sweeping"),
        "bonus": name != "dyna_q",
        "step_size": "monte_carlo" in name,
    }
    for option, unused in ignored.items():
        if unused and getattr(s, option) != getattr(default, option):
            got = f"{option} = {getattr(s, option)}"
            raise HoneError(f"{name} ignores {option}", got=got, do="leave it out, or choose another agent")
