"""A penalty for completions that are too long or too short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hone.core.types import Outcome, Scored
from hone.envs.graders.base import Columns, Prompt, each


@dataclass(frozen=True)
class Length:
    """Zero inside the bounds, ``-penalty`` outside, falling linearly over the last ``cache`` units.

    For length n: ``-penalty · clip((n - (maximum - cache)) / cache, 0, 1)``, and ``-penalty`` where n <
    minimum. It is DAPO's soft overlong punishment (arXiv 2503.14476), which counts tokens; a grader sees
    text and counts characters (Unicode code points) or words (runs without white space: glued words count as
    one).

    Attributes:
        maximum: the longest length; from it on the full penalty.
        minimum: the shortest length without penalty.
        cache: width of the linear part; 0 for a step just above ``maximum``.
        unit: what is counted.
        penalty: the largest penalty.
    """

    maximum: int
    minimum: int = 0
    cache: int = 0
    unit: Literal["characters", "words"] = "characters"
    penalty: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum:
            raise ValueError("the lengths must be in order: 0 <= minimum <= maximum")
        if not 0 <= self.cache <= self.maximum - self.minimum:
            raise ValueError("the cache must fit between minimum and maximum")
        if self.penalty <= 0:
            raise ValueError("the penalty must be positive")

    @property
    def floor(self) -> float:
        """``-penalty``."""
        return -self.penalty

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """A value in ``[-penalty, 0]`` per completion."""
        return each(lambda i: Scored(-self.penalty * self._excess(completions[i])), len(completions))

    def _excess(self, text: str) -> float:
        length = len(text.split()) if self.unit == "words" else len(text)
        if length < self.minimum or length > self.maximum:
            return 1.0
        over = length - (self.maximum - self.cache)
        return over / self.cache if over > 0 else 0.0
