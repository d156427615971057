"""A teacher that is never wrong: the task's own solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hone.core.errors import HoneError
from hone.core.seeding import key
from hone.data.attempts import Attempt
from hone.envs.questions import Question, QuestionTask
from hone.rollout.improvers.base import Desk, Place


@runtime_checkable
class Solves(Protocol):
    """A task that can solve its questions."""

    def solve(self, question: Question, attempts: Sequence[str], noise: int) -> str:
        """A right answer to a question, given what was tried."""


@dataclass(frozen=True)
class Solver:
    """What the task's ``solve(question, attempts, noise)`` gives."""

    def check(self, task: QuestionTask) -> None:
        """The task can solve its questions.

        Raises:
            HoneError: it has no solver.
        """
        _solving(task)

    def improve(self, places: Sequence[Place], desk: Desk) -> list[Attempt | None]:
        """The solver's answer at every place.

        Raises:
            HoneError: the task has no solver.
        """
        task = _solving(desk.task)
        texts = [
            task.solve(place.question, [attempt.text for attempt in place.attempts], key(place.noise, "solver"))
            for place in places
        ]
        return desk.written(places, texts, "solver")


def _solving(task: QuestionTask) -> Solves:
    if not isinstance(task, Solves):
        raise HoneError("this task cannot solve its questions", got=type(task).__name__, expected="a method solve")
    return task
