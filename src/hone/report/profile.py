"""A profile as tables and pictures: where a step's time and memory go, and what to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hone.core.files import write_json
from hone.report.reproduction import save_pictures, write_reproduction
from hone.report.style import INK, MUTED, PALETTE, number, style
from hone.training.advice import Advice
from hone.training.profiling import Profile


def phase_rows(profile: Profile) -> list[dict[str, str]]:
    """One row per phase: group, name, milliseconds per step, share, memory."""
    return [
        {
            "": phase.group,
            "phase": name,
            "ms per step": f"{1e3 * phase.seconds:,.1f}",
            "share": f"{phase.seconds / profile.seconds:.1%}",
            "peak memory, MiB": f"{phase.memory:,.0f}" if phase.memory else "",
        }
        for name, phase in profile.phases.items()
    ]


def figure_rows(profile: Profile) -> list[dict[str, str]]:
    """One row per figure that is not a time."""
    generation = profile.sampled / max(profile.generation_seconds, 1e-9)
    learning = profile.real / max(profile.learning_seconds, 1e-9)
    unique = profile.real - profile.duplicated
    padded = f"{profile.processed / unique:.2f}" if profile.processed else "not seen"
    told = {
        "tokens sampled per second": f"{generation:,.0f}",
        "tokens learnt per second, prompts included": f"{learning:,.0f}",
        "tokens per step: sampled, learnt, different": f"{profile.sampled:,.0f}, {profile.real:,.0f}, {unique:,.0f}",
        "tokens through the model per different token, learning": padded,
        "share of learnt tokens that are a prompt again": f"{profile.duplicated / max(profile.real, 1):.0%}",
        "completions in flight, of slots, of requests": (
            f"{profile.rows:.0f}, {profile.slots}, {profile.requests:.0f}" if profile.rows else "not seen"
        ),
        "groups that taught nothing": f"{profile.zero_signal:.0%}",
        "peak memory, MiB": f"{profile.peak:,.0f}",
        f"large matrix products here, {profile.dtype}": f"{profile.limit / 1e9:,.0f} GFLOP/s",
        "of that: sampling, learning": f"{profile.generation_share:.1%}, {profile.learning_share:.1%}",
    }
    return [{"figure": name, "value": value} for name, value in told.items()]


def advice_rows(advice: Sequence[Advice]) -> list[dict[str, str]]:
    """One row per setting."""
    return [
        {
            "setting": each.setting,
            "change": each.change,
            "saves of a step": f"about {each.gain:.0%}",
            "estimated from": each.how,
        }
        for each in advice
    ]


def headline(profile: Profile) -> str:
    """The result in one sentence."""
    first, second = sorted(profile.phases.items(), key=lambda item: -item[1].seconds)[:2]
    shares = [f"{name} {phase.seconds / profile.seconds:.0%}" for name, phase in (first, second)]
    return (
        f"A step takes {number(profile.seconds)} s on {profile.device} with {profile.threads} "
        f"thread{'s' if profile.threads > 1 else ''}; most of it is {shares[0]} and {shares[1]}."
    )


def time_picture(profile: Profile) -> Figure:
    """A stacked bar for each group of phases; parts are labelled where they are wide enough."""
    groups: dict[str, dict[str, float]] = {}
    for name, phase in profile.phases.items():
        groups.setdefault(phase.group, {})[name] = phase.seconds * 1e3
    return _stacks(groups, "Time of a step", "milliseconds")


def memory_picture(profile: Profile) -> Figure:
    """The largest memory in each phase that is told apart."""
    told = {name: {f"{phase.memory:,.0f}": phase.memory} for name, phase in profile.phases.items() if phase.memory}
    return _stacks(told, "Most memory in a phase", "MiB")


def write_profile(folder: Path, profile: Profile, advice: Sequence[Advice]) -> Path:
    """Write ``profile.html``, ``profile.json`` and a PNG of each picture into a folder; returns the page.

    Raises:
        HoneError: it cannot be written.
    """
    pictures = [("Time of a step", time_picture(profile), ""), ("Most memory", memory_picture(profile), "")]
    page = write_reproduction(
        folder / "profile.html",
        status=f"profile of {profile.steps} steps",
        title="Where a step goes",
        headline=headline(profile),
        facts=_facts(profile),
        checks=(),
        pictures=pictures,
        tables={
            "Worth changing": advice_rows(advice),
            "Phases": phase_rows(profile),
            "Figures": figure_rows(profile),
        },
        notes=NOTES,
    )
    save_pictures(folder, [(title, figure) for title, figure, _ in pictures])
    write_json(folder / "profile.json", _plain(profile, advice))
    return page


NOTES = (
    "Times are means over the measured steps; the first step, which warms up, is left out. What the recipe does every "
    "few steps (evaluation, checkpoints, samples) was done once and is shared out.",
    "Estimates add up neither with each other nor with what other settings do: change one, then profile again.",
)


def _facts(profile: Profile) -> Mapping[str, str]:
    batch = profile.recipe.batch
    return {
        "Algorithm": type(profile.recipe.algorithm).__name__,
        "Rollouts": f"{batch.prompts} × {batch.samples}",
        "Model": profile.recipe.model.path,
        "Device": profile.device,
        "Computing in": profile.dtype,
        "Threads": str(profile.threads),
    }


def _plain(profile: Profile, advice: Sequence[Advice]) -> dict[str, Any]:
    names = "steps seconds sampled real duplicated processed requests rows slots zero_signal parameters limit peak"
    return {
        **{name: getattr(profile, name) for name in (*names.split(), "device", "dtype", "threads")},
        "phases": {n: {"group": p.group, "seconds": p.seconds, "memory": p.memory} for n, p in profile.phases.items()},
        "advice": [{"setting": a.setting, "change": a.change, "gain": a.gain, "how": a.how} for a in advice],
    }


def _stacks(groups: Mapping[str, Mapping[str, float]], title: str, unit: str) -> Figure:
    """Horizontal stacked bars, one per group, the first on top."""
    longest = max((sum(parts.values()) for parts in groups.values()), default=1.0) or 1.0
    with style():
        figure = Figure(figsize=(7.5, 0.9 + 0.62 * len(groups)), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=18)
        axes.annotate(unit, (0, 1), (0, 6), "axes fraction", "offset points", fontsize=8, color=MUTED)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        for row, parts in enumerate(groups.values()):
            left = 0.0
            for colour, (name, value) in zip(_colours(len(parts)), parts.items(), strict=True):
                axes.barh(row, value, left=left, height=0.62, color=colour)
                if value > 0.02 * len(name) * longest:
                    axes.text(left + value / 2, row, name, ha="center", va="center", fontsize=7.5, color="white")
                left += value
            axes.annotate(number(left), (left, row), (4, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_yticks(range(len(groups)), list(groups), color=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.1 * longest)
        return figure


def _colours(count: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(count)]
