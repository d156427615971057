"""What a grader is, and the call that turns every fault of a grader into :class:`Failed`."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from hone.core.errors import HoneError
from hone.core.types import Failed, Outcome, Scored

Prompt = str | Sequence[Mapping[str, Any]]
"""Text, or a conversation: role/content dictionaries."""

Columns = Mapping[str, Sequence[Any]]
"""The questions' other columns, one entry per completion: ``answer`` and whatever the data set holds."""


class Grader(Protocol):
    """Judges completions. A frozen dataclass that is its own configuration.

    A completion that is wrong, empty or unreadable is :class:`Scored`; only the grader's own fault is
    :class:`Failed` (law 8). A completion's outcome does not depend on its neighbours in the call.
    """

    @property
    def floor(self) -> float:
        """The lowest value, given to an answer that cannot be read."""

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """One outcome per completion."""


def each(judge: Callable[[int], Outcome], count: int) -> list[Outcome]:
    """``[judge(0), …, judge(count - 1)]``, an exception being the :class:`Failed` outcome of its own item."""
    outcomes: list[Outcome] = []
    for i in range(count):
        try:
            outcomes.append(judge(i))
        except Exception as error:
            outcomes.append(Failed(f"{type(error).__name__}: {error}", "exception"))
    return outcomes


def guarded(grader: Grader, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
    """``grader.grade`` whose own faults are :class:`Failed`: it raises, miscounts, or a value is not finite.

    A faulty batch is graded one by one, so that only the completions at fault fail.
    """
    count = len(completions)
    try:
        outcomes = grader.grade(prompts, completions, columns)
        if len(outcomes) != count:
            raise ValueError(f"{len(outcomes)} outcomes for {count} completions")
    except Exception as error:
        if count == 1:
            return [Failed(f"{type(error).__name__}: {error}", "exception")]
        singles = [
            guarded(grader, [prompts[i]], [completions[i]], {k: [v[i]] for k, v in columns.items()})
            for i in range(count)
        ]
        return [outcome for (outcome,) in singles]
    return [_finite(outcome) for outcome in outcomes]


def preflight_grader(
    grader: Grader,
    prompt: Prompt,
    answer: str,
    columns: Mapping[str, Any],
    *,
    name: str = "",
    timeout: float = 120,
) -> Scored:
    """Call a grader once on a known answer.

    Args:
        grader: the reward.
        prompt: a question.
        answer: a completion known to be good; its value is returned, not judged.
        columns: the question's other columns, one value each.
        name: what to call the reward in the error; its class by default.
        timeout: seconds after which it is taken to never return.

    Raises:
        HoneError: it raises, returns NaN, an infinity, nothing or the wrong number of values, or never
            returns; or what its own ``preflight`` raises, if it has one.
    """
    getattr(grader, "preflight", lambda: None)()
    called = name or type(grader).__name__
    found: list[Outcome] = []

    def call() -> None:
        found.extend(guarded(grader, [prompt], [answer], {k: [v] for k, v in columns.items()}))

    # A daemon thread: a grader of the user's own class runs in this process and nothing can stop it.
    thread = threading.Thread(target=call, name="preflight", daemon=True)
    thread.start()
    thread.join(timeout)
    if not found:
        found = [Failed(f"no answer in {timeout:g} s", "timeout")]
    if isinstance(found[0], Failed):
        raise HoneError(
            f"the reward {called} failed on a known answer ({found[0].kind})",
            got=found[0].reason,
            expected="one finite number per completion",
            do="call it on this answer yourself: " + repr(answer if len(answer) < 80 else answer[:77] + "..."),
        )
    return found[0]


def _finite(outcome: Any) -> Outcome:
    if isinstance(outcome, Scored) and not math.isfinite(outcome.value):
        return Failed(f"the value is {outcome.value}", "not_finite")
    if isinstance(outcome, Scored | Failed):
        return outcome
    return Failed(f"returned {type(outcome).__name__}, not an outcome", "exception")
