"""Graders that compare one extracted answer with the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hone.core.types import Outcome, Scored
from hone.envs.graders._extract import Extraction
from hone.envs.graders.base import Columns, Prompt, each


@dataclass(frozen=True)
class AnswerGrader(Extraction):
    """Reads an answer, compares it, and gives one of three values.

    Attributes:
        correct: value of a right answer.
        wrong: value of a readable answer that is not right.
        floor: value of a completion without a readable answer, never above ``wrong``.
        column: the column that holds the reference.
    """

    correct: float = 1.0
    wrong: float = 0.0
    floor: float = 0.0
    column: str = "answer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.floor <= self.wrong < self.correct:
            raise ValueError("the values must be in order: floor <= wrong < correct")

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """One outcome per completion; :class:`Failed` where the reference is missing or cannot be read."""
        return each(lambda i: self._grade(completions[i], columns[self.column][i]), len(completions))

    def compare(self, answer: str, reference: Any) -> tuple[str, bool] | None:
        """The answer in canonical form (what a vote counts) and whether it is right; None: unreadable.

        Raises:
            ValueError: the reference cannot be read.
        """
        raise NotImplementedError

    def _grade(self, completion: str, reference: Any) -> Outcome:
        read = self.read(completion)
        compared = self.compare(read or "", reference)
        if read is None or compared is None:
            return Scored(self.floor)
        canonical, right = compared
        return Scored(self.correct if right else self.wrong, answer=canonical)
