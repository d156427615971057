"""Whether a completion has a certain form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hone.core.types import Outcome, Scored
from hone.envs.graders.base import Columns, Prompt, each


@dataclass(frozen=True)
class Pattern:
    """A regular expression matches the whole completion (``full``) or some part of it (``search``).

    The completion is stripped of outer white space first. Flags stand in the pattern: ``(?s)`` lets the dot
    cross lines, ``(?i)`` ignores case. The pattern is the author's: one that backtracks without end on some
    text hangs. Checks the form alone, so pair it with a grader of the answer: form is easily learnt by rote.

    Attributes:
        pattern: the regular expression.
        match: ``full`` or ``search``.
        correct: value of a match.
        floor: value otherwise.
    """

    pattern: str
    match: Literal["full", "search"] = "full"
    correct: float = 1.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"the pattern is not a regular expression: {error}") from error
        if not self.floor < self.correct:
            raise ValueError("the values must be in order: floor < correct")

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """``correct`` or ``floor`` per completion."""
        apply = re.fullmatch if self.match == "full" else re.search

        def judge(i: int) -> Outcome:
            return Scored(self.correct if apply(self.pattern, completions[i].strip()) else self.floor)

        return each(judge, len(completions))
