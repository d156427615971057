"""Which metrics a report draws, in which order, in which charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hone.report.charts import Series, curve, figure_to_svg, stacked
from hone.report.style import PALETTE

Columns = Mapping[str, tuple[list[float], list[float]]]
"""Metric name to (steps, values)."""


@dataclass(frozen=True)
class Chart:
    """One chart of metrics that share a unit.

    Attributes:
        title: what is shown.
        unit: of the values.
        lines: metric name to label.
        log: logarithmic y axis.
        share: values are shares: the y axis begins at 0.
    """

    title: str
    unit: str
    lines: Mapping[str, str]
    log: bool = False
    share: bool = False


SECTIONS: Mapping[str, Sequence[Chart]] = {
    "Learning": (
        Chart("Reward", "mean per episode", {"reward": "reward"}),
        Chart("Held-out accuracy", "share of samples", {"accuracy": "accuracy"}, share=True),
        Chart(
            "Loss",
            "nats per token where it is a likelihood",
            {"loss": "training", "validation_loss": "validation"},
        ),
        Chart(
            "Pairs in the right order",
            "share",
            {"pair_accuracy": "training", "validation_pair_accuracy": "held out"},
            share=True,
        ),
        Chart("Perplexity", "exp(validation loss)", {"perplexity": "perplexity"}),
    ),
    "Policy and updates": (
        Chart("Entropy", "nats per token", {"entropy": "entropy"}),
        Chart("KL to the reference", "nats per token", {"kl_ref": "KL"}),
        Chart("Clipped tokens", "share", {"clip_fraction": "clipped"}, share=True),
        Chart("Ratio new / old policy", "mean over tokens", {"ratio": "ratio"}),
        Chart("Gradient norm", "before clipping", {"grad_norm": "norm"}),
        Chart("Learning rate", "", {"lr": "rate"}),
    ),
    "Rollouts": (
        Chart("Sampled tokens", "per episode", {"length": "length"}, share=True),
        Chart("Truncated", "share of episodes cut by a limit", {"truncation_rate": "truncated"}, share=True),
        Chart(
            "Groups with zero signal",
            "share whose rewards are all equal",
            {"zero_signal": "zero"},
            share=True,
        ),
        Chart("Failures", "share of episodes without a grade", {"failures": "failures"}, share=True),
        Chart("Spread of rewards", "standard deviation", {"reward_std": "std"}, share=True),
        Chart(
            "Sampler against learner",
            "|log-probability gap|, nats",
            {"logprob_gap": "mean", "logprob_gap_max": "max"},
            log=True,
        ),
    ),
    "Speed": (
        Chart(
            "Tokens per second",
            "tokens / s",
            {"tokens_per_second_generation": "generation", "tokens_per_second_learning": "learning"},
            share=True,
        ),
    ),
}
PHASES = ("rollout", "score", "learn", "evaluate", "checkpoint")
_ELSEWHERE = {
    "preference",
    "validation_preference",
    "seconds_step",
    "tokens",
    *(f"seconds_{phase}" for phase in PHASES),
}


@dataclass(frozen=True)
class Panel:
    """A drawn chart: its SVG and what a reader should know about the data."""

    svg: str
    note: str = ""


def sections(metrics: Columns, rounds: bool = False) -> dict[str, list[Panel]]:
    """Section title to its charts, for the metrics that exist; unknown metrics stand under "Other".

    Of ``rounds`` the metrics are ``STAGE/MEASURE``; each stage has a section.
    """
    columns = dict(metrics)
    if "validation_loss" in columns and "validation_pair_accuracy" not in columns:
        steps, losses = columns["validation_loss"]
        columns["perplexity"] = (steps, [math.exp(min(loss, 700.0)) for loss in losses])
    known = {name for charts in SECTIONS.values() for chart in charts for name in chart.lines} | _ELSEWHERE
    drawn = {title: [_draw(chart, columns) for chart in charts] for title, charts in SECTIONS.items()}
    criteria = {n: n.removeprefix("criterion/") for n in columns if n.startswith("criterion/")}
    staged = [n for n in columns if rounds and "/" in n]
    rest = [Chart(n, "", {n: n}) for n in columns if n not in known and n not in (*criteria, *staged)]
    drawn["Learning"][1:1] = [_draw(chart, columns) for chart in _criteria(criteria)]
    drawn["Speed"].append(_phases(columns))
    for name in staged:
        stage, _, measure = name.partition("/")
        chart = _draw(Chart(measure.replace("_", " ").capitalize(), "", {name: measure}), columns, x_label="round")
        drawn.setdefault(f"Stage {stage}", []).append(chart)
    drawn["Other"] = [_draw(chart, columns) for chart in rest]
    found = {title: [panel for panel in panels if panel is not None] for title, panels in drawn.items()}
    return {title: panels for title, panels in found.items() if panels}


def _criteria(named: Mapping[str, str]) -> list[Chart]:
    """Charts of the criteria of a rubric, a few lines to each."""
    names, most = list(named), len(PALETTE) - 3
    parts = [names[i : i + most] for i in range(0, len(names), most)]
    return [Chart("Reward by criterion", "mean, before weights", {n: named[n] for n in part}) for part in parts]


def _draw(chart: Chart, columns: Columns, x_label: str = "step") -> Panel | None:
    present = {name: label for name, label in chart.lines.items() if name in columns}
    if not present:
        return None
    values = [y for name in present for y in columns[name][1]]
    missing = sum(not math.isfinite(y) for y in values)
    figure = curve(
        [Series(label, *columns[name]) for name, label in present.items()],
        title=chart.title,
        unit=chart.unit,
        x_label=x_label,
        log=chart.log and any(y > 0 for y in values),
        smooth=True,
        limits=(0.0 if chart.share else None, None),
    )
    note = f"{missing} of {len(values)} values are not finite" if missing else ""
    return Panel(figure_to_svg(figure, f"{chart.title} {next(iter(present))}"), note)


def _phases(columns: Columns) -> Panel | None:
    """Seconds per phase and step; what ``seconds_step`` holds beyond the phases is "other"."""
    seconds = {
        name: dict(zip(*columns[f"seconds_{name}"], strict=True)) for name in PHASES if f"seconds_{name}" in columns
    }
    if not seconds:
        return None
    steps = sorted({step for by_step in seconds.values() for step in by_step})
    parts = {name: [_known(by_step.get(step)) for step in steps] for name, by_step in seconds.items()}
    whole = dict(zip(*columns.get("seconds_step", ([], [])), strict=True))
    if whole:
        sums = [math.fsum(column) for column in zip(*parts.values(), strict=True)]
        parts["other"] = [max(_known(whole.get(s)) - known, 0.0) for s, known in zip(steps, sums, strict=True)]
    return Panel(
        figure_to_svg(stacked(steps, parts, title="Time", unit="seconds per step; the numbers are means"), "time")
    )


def _known(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0
