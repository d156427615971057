"""From spans to the phases of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hone.core.spans import Event
from hone.training.recipe import Recipe


@dataclass(frozen=True)
class Phase:
    """A part of a step.

    Attributes:
        group: "rollout", "learning" or "the rest".
        seconds: per step.
        memory: MiB of the process at most, None where it is not told apart.
    """

    group: str
    seconds: float
    memory: float | None = None


GROUPS = {
    "prefill": "rollout",
    "decode": "rollout",
    "draw": "rollout",
    "environment": "rollout",
    "rollout, rest": "rollout",
    "forward": "learning",
    "backward": "learning",
    "optimiser": "learning",
    "learning, rest": "learning",
    "rows": "the rest",
    "old scores, advantages": "the rest",
    "reference scores": "the rest",
    "metrics, journal": "the rest",
    "samples": "the rest",
    "checkpoint": "the rest",
    "evaluation": "the rest",
    "other": "the rest",
}
"""Every phase, in the order of a step, and its group."""

_NAMES = {
    "sample": "draw",
    "rollout": "rollout, rest",
    "learn": "learning, rest",
    "score": "old scores, advantages",
    "reference": "reference scores",
    "metrics": "metrics, journal",
    "evaluate": "evaluation",
}
"""Phases that are not called as their span is."""
_MEMORY = {
    "rollout": "decode",
    "rows": "rows",
    "score": "old scores, advantages",
    "learn": "forward",
    "backward": "backward",
    "optimiser": "optimiser",
    "checkpoint": "checkpoint",
    "evaluate": "evaluation",
}
"""Watched span to the phase that its memory stands beside."""


def phase_of(event: Event) -> str:
    """The phase a span's own time belongs to: an evaluation with all that is in it, else the innermost known name."""
    for name in ("evaluate", "reference"):
        if name in event.path:
            return _NAMES[name]
    known = [_NAMES.get(name, name) for name in event.path]
    return next((name for name in reversed(known) if name in GROUPS), "other")


def phases(
    everything: Sequence[Event],
    measured: Sequence[Event],
    seconds: float,
    steps: int,
    recipe: Recipe,
    memory: Mapping[str, float],
) -> dict[str, Phase]:
    """Seconds per step of every phase that took any.

    Args:
        everything: the spans of the whole run.
        measured: those of the measured steps.
        seconds: what the measured steps took.
        steps: how many they are.
        recipe: says how often what is not done in every step is done.
        memory: of the watched spans.
    """
    found = dict.fromkeys(GROUPS, 0.0)
    rare = _rare(recipe)
    for event in measured:
        name = phase_of(event)
        if name not in rare:
            found[name] += event.seconds / steps
    found["other"] += max(0.0, seconds - sum(event.seconds for event in measured)) / steps
    for name, (span, every) in rare.items():
        times = sum(event.path[-1] == span for event in everything)
        whole = sum(event.seconds for event in everything if phase_of(event) == name)
        found[name] = whole / times / every if times and every else 0.0
    told = {_MEMORY[span]: most for span, most in memory.items() if span in _MEMORY}
    return {name: Phase(GROUPS[name], spent, told.get(name)) for name, spent in found.items() if spent > 0}


def _rare(recipe: Recipe) -> dict[str, tuple[str, int]]:
    """Phases that do not happen in every step: their span, and the number of steps from one to the next."""
    run = recipe.run
    rare = {
        "evaluation": ("evaluate", run.evaluate_every),
        "samples": ("samples", run.rollouts_every),
        "checkpoint": ("checkpoint", run.save_every),
    }
    if "ref_logprob" not in recipe.algorithm.needs:
        rare["reference scores"] = ("reference", run.reference_every)
    return rare
