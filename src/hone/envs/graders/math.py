"""Mathematical equality, by math-verify."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hone.core.types import Failed, Outcome, Scored
from hone.envs.graders._answer import AnswerGrader
from hone.envs.graders._child import Child, ChildError, together_or_apart
from hone.envs.graders._extract import last_boxed
from hone.envs.graders.base import Columns, Prompt

_LONGEST_NUMBER = 40
_LARGEST_EXPONENT = 1000
_UNEVALUATED = re.compile(
    r"\\(sum|prod|i*int|oint|lim\w*|binom|[dt]binom|Gamma|bigcup|bigcap|partial)(?![a-zA-Z])|"
    r"[0-9]{3,}\s*!|!\s*!|\)\s*!|\}\s*!"
)
_BRACED = r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
_BRACKETED = r"\([^()]*(?:\([^()]*\)[^()]*)*\)"
_POWER = re.compile(rf"(?:\^|\*\*)\s*({_BRACED}|{_BRACKETED}|-?[0-9.]+|\\left|\S)(\s*(?:\^|\*\*))?")


@dataclass(frozen=True)
class Math(AnswerGrader):
    r"""The answer equals the reference as mathematics (math-verify): ``1/2``, ``0.5`` and ``\frac{1}{2}``
    agree.

    Without marker or pattern the answer is the last ``boxed{...}``, or the whole text where nothing is boxed.
    A list of alternatives is read as a set and so differs from a single value; of an equation the last side
    counts. Unevaluated arithmetic is equal too (``2*3*4`` is 24): where evaluating is the task, use
    ``numeric``. A reference that is a word (three letters in a row, no digit, no command) is compared as
    text, since sympy takes ``blue`` for b·l·u·e.

    Monsters are unreadable by rules that do not depend on the clock: more than ``longest`` characters, a
    number of more than 40 digits, exponents whose product exceeds 1000 (so no towers), and operators an
    answer ought to have evaluated (sums, integrals, limits, binomials, factorials beyond 99!). Verification
    runs in a child process; what still takes longer than ``timeout`` is :class:`Failed`.

    Attributes:
        longest: characters of the longest answer that is read.
        timeout: seconds per batch, then per answer.
    """

    longest: int = 200
    timeout: float = 20.0

    def read(self, text: str) -> str | None:
        """See :meth:`Extraction.read`."""
        if not (self.marker or self.pattern or self.boxed) and "boxed{" in text:
            return (last_boxed(text) or "").strip() or None
        return super().read(text)

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """One outcome per completion; :class:`Failed` also where the reference cannot be read."""
        answers = [self._readable(self.read(text)) for text in completions]
        references = [str(value) for value in columns[self.column]]

        def call(indices: Sequence[int]) -> list[Any]:
            pairs = [(answers[i], references[i]) for i in indices]
            values = self._child.call(self.timeout, pairs)
            if len(values) != len(pairs):
                raise ChildError("the verifier lost count", "exception")
            return values

        verdicts = together_or_apart(call, len(answers))
        return [self._outcome(a, verdict) for a, verdict in zip(answers, verdicts, strict=True)]

    def _readable(self, answer: str | None) -> str:
        return "" if answer is None or len(answer) > self.longest or is_monster(answer) else answer

    def _outcome(self, answer: str, verdict: Any) -> Outcome:
        if isinstance(verdict, Failed):
            return verdict
        if verdict == "bad reference":
            return Failed("the reference cannot be read as mathematics", "exception")
        if verdict == "unreadable":
            return Scored(self.floor)
        return Scored(self.correct if verdict == "right" else self.wrong, answer=answer)

    @cached_property
    def _child(self) -> Child:
        return Child("hone.envs.graders._verify:verdicts", startup_timeout=60)


def is_monster(answer: str) -> bool:
    """Whether evaluating the expression could take for ever; a rule on its text alone."""
    too_long = re.search(rf"[0-9]{{{_LONGEST_NUMBER + 1},}}", answer)
    return bool(too_long or _UNEVALUATED.search(answer)) or has_huge_power(answer)


def has_huge_power(expression: str) -> bool:
    """Whether a power stands in an exponent, or the product of all numbers in exponents exceeds 1000."""
    product = 1
    for match in _POWER.finditer(expression):
        tower = match[2] or "^" in match[1] or "**" in match[1]
        if tower or match[1] in ("{", "(", r"\left"):  # the last: nested too deeply to see through
            return True
        for digits in re.findall(r"[0-9]+", match[1]):
            product *= max(int(digits[:9]), 1)
    return product > _LARGEST_EXPONENT
