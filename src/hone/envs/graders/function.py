"""A reward written by the user as a plain function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hone.core.types import Failed, Outcome, Scored
from hone.envs.graders._child import Child, ChildError, together_or_apart
from hone.envs.graders.base import Columns, Prompt


@dataclass(frozen=True)
class Function:
    """``reward(prompts, completions, **columns) -> list[float]`` (TRL's signature), in a killable child
    process.

    Everything is passed by keyword: the columns are those of the questions, ``answer`` among them, so write
    ``**columns`` for those you do not need. Where a prompt is a conversation, its completion is one too:
    ``[{"role": "assistant", "content": text}]``. ``async def`` works. What it prints goes to standard error.

    The function's own faults are :class:`Failed`: it raises (``exception``), gives NaN, an infinity or None
    (``not_finite``; TRL takes None for "does not apply", here say 0), runs out of time (``timeout``) or
    takes its process down (``gone``). A batch that fails is repeated one completion at a time, so the
    function should not compare the completions of a batch with each other.

    Attributes:
        target: ``package.module:name``, importable from the current folder, or the function itself.
        timeout: seconds per call.
        startup_timeout: seconds for starting the child and importing the function's module.
        floor: the value its author gives to a hopeless answer; a statement, nothing is clipped to it.
    """

    target: str | Callable[..., Any]
    timeout: float = 10.0
    startup_timeout: float = 60.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.target, str) and ":" not in self.target:
            raise ValueError(f'a reward function is named package.module:name, not "{self.target}"')
        if min(self.timeout, self.startup_timeout) <= 0:
            raise ValueError("a time-out must be positive")

    @property
    def label(self) -> str:
        """The function's name."""
        if isinstance(self.target, str):
            return self.target.partition(":")[2]
        return str(getattr(self.target, "__name__", type(self.target).__name__))

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """The function's values, one outcome per completion."""
        texts = [t if isinstance(p, str) else _message(t) for p, t in zip(prompts, completions, strict=True)]

        def call(indices: Sequence[int]) -> list[Any]:
            rows = {name: [column[i] for i in indices] for name, column in columns.items()}
            rows |= {"prompts": [prompts[i] for i in indices], "completions": [texts[i] for i in indices]}
            values = self._child.call(self.timeout, **rows)
            if len(values) != len(indices):
                reason = f"returned {len(values)} values for {len(indices)} completions"
                raise ChildError(reason, "exception")
            return values

        return [_outcome(value) for value in together_or_apart(call, len(completions))]

    @cached_property
    def _child(self) -> Child:
        return Child(self.target, self.startup_timeout)


def _message(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _outcome(value: Any) -> Outcome:
    if isinstance(value, Failed):
        return value
    if value is None:
        return Failed("returned None for a completion", "not_finite")
    if not isinstance(value, bool | int | float):
        return Failed(f"returned {type(value).__name__} for a completion, not a number", "exception")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    return Scored(number) if math.isfinite(number) else Failed(f"returned {number}", "not_finite")
