"""What diagnostics have in common, and how one is run on a model."""

from __future__ import annotations

from typing import Any, Protocol

from hone.core.resolve import names, resolve
from hone.engines.base import Sampling
from hone.envs.acting.task import ActingTask
from hone.envs.tasks.bandit import Bandit
from hone.envs.tasks.contextual_bandit import ContextualBandit
from hone.evaluate.agents import ModelAgent
from hone.evaluate.subjects import Subject
from hone.models.policy import Policy

PACKAGE = "hone.evaluate.diagnostics"


class Diagnostic(Protocol):
    """A frozen dataclass with the numbers of its protocol, in a file of its name."""

    @staticmethod
    def suits(task: object) -> bool:
        """Whether it says something about an agent in this task."""

    def of_model(self, policy: Policy, task: Any, sampling: Sampling, split: str, seed: int) -> dict[str, Any]:
        """What was measured, as plain values for JSON; ``diagnostic`` is its name."""


class OfBandits:
    """A diagnostic of whoever plays a bandit without contexts."""

    @staticmethod
    def suits(task: object) -> bool:
        """It is such a bandit."""
        return isinstance(task, Bandit)

    def of_model(
        self, policy: Policy, task: Bandit | ContextualBandit, sampling: Sampling, split: str, seed: int
    ) -> dict[str, Any]:
        """Examine a model."""
        return self.examine(ModelAgent(policy, task, sampling, split, seed))

    def examine(self, subject: Subject) -> dict[str, Any]:
        """Examine anybody."""
        raise NotImplementedError


def suited(task: object) -> list[Diagnostic]:
    """Every diagnostic that says something about the task, with its own defaults."""
    if not isinstance(task, ActingTask):
        return []
    found = [resolve(name, PACKAGE, "diagnostic") for name in names(PACKAGE)]
    return [diagnostic() for diagnostic in found if diagnostic.suits(task)]
