"""Equality of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hone.envs.graders._answer import AnswerGrader


@dataclass(frozen=True)
class Exact(AnswerGrader):
    """The extracted answer equals the reference, character by character, both stripped of outer white space.

    An empty answer is never right. Digits of other scripts, other cases and spaces inside are other answers.
    """

    def compare(self, answer: str, reference: Any) -> tuple[str, bool]:
        """See :meth:`AnswerGrader.compare`; other than text is compared as ``str(reference)``."""
        wanted = str(reference).strip()
        if reference is None or not wanted:
            raise ValueError("the reference is empty")
        return answer, answer == wanted
