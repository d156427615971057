"""Several graders as one: a weighted sum with the breakdown kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hone.core.config import build_named
from hone.core.resolve import resolve, short_name
from hone.core.types import Failed, Outcome, Scored
from hone.envs.graders.base import Columns, Grader, Prompt, guarded
from hone.envs.graders.function import Function

_PACKAGE = "hone.envs.graders"


@dataclass(frozen=True)
class Criterion:
    """One grader of a rubric.

    Attributes:
        grader: the grader, already built.
        weight: factor of its value in the sum.
        label: its name in ``Scored.criteria``; by default the grader's short name or the function's name.
    """

    grader: Any
    weight: float = 1.0
    label: str = ""


@dataclass(frozen=True)
class Rubric:
    """``value = Σ weight · value of the criterion``; any criterion that fails fails the whole.

    ``Scored.criteria`` holds every criterion's value before its weight (those of a nested rubric as
    ``outer/inner``), ``answer`` the first answer that a criterion has read, ``feedback`` all feedback,
    joined.

    Attributes:
        graders: criteria in any form that :func:`as_criterion` takes; in TOML ``[[task.graders]]`` tables
            such as ``name = "exact"  weight = 1.0  label = "right"  marker = "####"``.
    """

    graders: tuple[Any, ...]

    def __post_init__(self) -> None:
        criteria = _labelled([as_criterion(value) for value in self.graders])
        if not criteria:
            raise ValueError("a rubric needs at least one grader")
        object.__setattr__(self, "graders", criteria)

    @property
    def floor(self) -> float:
        """``Σ weight · floor`` (of a criterion with negative weight the floor is not the worst)."""
        return float(sum(c.weight * c.grader.floor for c in self.graders))

    def preflight(self) -> None:
        """What the criteria want to try before anything else; see :func:`preflight_grader`."""
        for criterion in self.graders:
            getattr(criterion.grader, "preflight", lambda: None)()

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """One outcome per completion."""
        graded = [guarded(c.grader, prompts, completions, columns) for c in self.graders]
        return [self._combine([row[i] for row in graded]) for i in range(len(completions))]

    def _combine(self, outcomes: Sequence[Outcome]) -> Outcome:
        value, criteria, answers, feedback = 0.0, dict[str, float](), list[str](), list[str]()
        for criterion, outcome in zip(self.graders, outcomes, strict=True):
            if isinstance(outcome, Failed):
                return Failed(f"{criterion.label}: {outcome.reason}", outcome.kind)
            value += criterion.weight * outcome.value
            criteria[criterion.label] = outcome.value
            criteria |= {f"{criterion.label}/{name}": inner for name, inner in outcome.criteria.items()}
            answers += [outcome.answer] if outcome.answer else []
            feedback += [outcome.feedback] if outcome.feedback else []
        return Scored(value, criteria, answers[0] if answers else "", "\n".join(feedback))


def as_criterion(value: Any) -> Criterion:
    """A criterion from whatever names a grader.

    Args:
        value: a criterion; a grader; a pair (grader, weight); a reward function; a short name or
            ``package.module:name``; a table with ``name`` and the grader's options, or with ``grader`` (such
            a table), in both cases also ``weight`` and ``label``.

    Raises:
        HoneError: no grader of that name, or a wrong option.
    """
    if isinstance(value, Criterion):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return Criterion(as_grader(value[0]), float(value[1]))
    if isinstance(value, Mapping):
        rest = dict(value)
        weight, label = float(rest.pop("weight", 1.0)), str(rest.pop("label", ""))
        return Criterion(as_grader(rest.get("grader", rest)), weight, label)
    return Criterion(as_grader(value))


def as_grader(value: Any) -> Grader:
    """A grader from a grader, a reward function, a name or a table; see :func:`as_criterion`."""
    if isinstance(value, str):
        value = {"name": value}
    if isinstance(value, Mapping):
        name = value.get("name")
        # A class is a grader of the user's own; anything else that is named module:name is a reward function,
        # which is looked up in its child process only.
        if isinstance(name, str) and ":" in name and not _is_class(name):
            value = {**value, "target": name, "name": "function"}
        return build_named(value, _PACKAGE, "grader")  # type: ignore[no-any-return]
    if hasattr(value, "grade"):
        return value  # type: ignore[no-any-return]
    if callable(value):
        return Function(value)
    raise ValueError(f"a grader is a grader, a function, a name or a table, not {type(value).__name__}")


def _is_class(name: str) -> bool:
    return name.partition(":")[2][:1].isupper() and isinstance(resolve(name, _PACKAGE, "grader"), type)


def _labelled(criteria: Sequence[Criterion]) -> tuple[Criterion, ...]:
    """Criteria with distinct labels: a repeated one gets a number."""
    seen: dict[str, int] = {}
    labelled = []
    for criterion in criteria:
        label = criterion.label or _label(criterion.grader)
        seen[label] = seen.get(label, 0) + 1
        label += f"_{seen[label]}" if seen[label] > 1 else ""
        labelled.append(Criterion(criterion.grader, criterion.weight, label))
    return tuple(labelled)


def _label(grader: Any) -> str:
    own: str = getattr(grader, "label", "")
    return own or short_name(grader, _PACKAGE).rpartition(":")[2]
