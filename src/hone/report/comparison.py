"""Evaluations beside each other: a table with intervals, bars per stratum, and the result in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hone.evaluate.estimates import NOTHING, Estimate
from hone.report.charts import bars, figure_to_svg
from hone.report.style import PALETTE, number

Evaluations = Mapping[str, Mapping[str, Any]]
"""Name to what :meth:`hone.evaluate.accuracy.Evaluation.plain` wrote."""


@dataclass(frozen=True)
class Cell:
    """A formatted number and its interval; both "" where nothing was measured."""

    value: str
    interval: str = ""


@dataclass(frozen=True)
class Row:
    """A measure over all evaluations; ``change`` from the first to the last, "" where it cannot be told."""

    name: str
    cells: Sequence[Cell]
    change: str


def table(evaluations: Evaluations) -> list[Row]:
    """Rows of the measures some evaluation has; pass@1 and maj@1 are the accuracy and stay away."""
    found = list(evaluations.values())
    rows = [
        _shares("Accuracy", [estimate(e, "accuracy") for e in found]),
        _shares("Greedy accuracy", [estimate(e, "greedy") for e in found]),
        *(_shares(f"pass@{k}", [estimate(e, "pass_at", k) for e in found]) for k in _ks(found, "pass_at")),
        *(_shares(f"maj@{k}", [estimate(e, "maj_at", k) for e in found]) for k in _ks(found, "maj_at")),
        *_turns(found),
        _numbers("Mean reward", [estimate(e, "reward") for e in found]),
        _numbers("Mean length, tokens", [estimate(e, "length") for e in found]),
        _shares("Truncated", [estimate(e, "truncation_rate") for e in found]),
        *(_counts(name, [e.get(name.lower()) for e in found]) for name in ("Questions", "Samples", "Failures")),
    ]
    return [row for row in rows if any(cell.value for cell in row.cells)]


def strata_chart(evaluations: Evaluations) -> str:
    """Bars of the accuracy per stratum as SVG; "" where there is none."""
    latest = list(evaluations.items())[-len(PALETTE) :]
    names = list(dict.fromkeys(name for _, e in latest for name in _table(e, "strata")))
    if not names:
        return ""
    series = {label: [estimate(_table(_table(e, "strata"), name), "accuracy") for name in names] for label, e in latest}
    figure = bars(names, series, title="Accuracy by stratum", unit="95 % intervals", percent=True, width=6.2)
    return figure_to_svg(figure, "strata")


def headline(evaluations: Evaluations, metrics: Mapping[str, tuple[list[float], list[float]]]) -> str:
    """The result in one sentence: from evaluations where there are two, else from the curves."""
    if retried := [(name, e) for name, e in evaluations.items() if isinstance(e.get("named"), Mapping)]:
        return _retried(*retried[-1])
    accuracy = [(name, estimate(e, "accuracy")) for name, e in evaluations.items()]
    known = [(name, e) for name, e in accuracy if e.count]
    if len(known) > 1:
        (first, before), (last, after) = known[0], known[-1]
        return (
            f"Held-out accuracy went from {_percent(before)} ({first}) to {_percent(after)} ({last}) "
            f"on {after.count} questions."
        )
    for name, text in (
        ("reward", "Mean reward"),
        ("validation_loss", "Validation loss"),
        ("loss", "Training loss"),
    ):
        values = [y for y in metrics.get(name, ([], []))[1] if math.isfinite(y)]
        if len(values) > 1:
            part = max(len(values) // 10, 1)
            ends = [math.fsum(v) / part for v in (values[:part], values[-part:])]
            over = f" (means of the first and last {part})" if part > 1 else ""
            return f"{text} went from {number(ends[0])} to {number(ends[1])}{over}."
    if known:
        return f"Held-out accuracy is {_percent(known[0][1])} ({known[0][0]}) on {known[0][1].count} questions."
    return ""


def _retried(name: str, evaluation: Mapping[str, Any]) -> str:
    """What came of several attempts, beside one attempt and as many parallel ones."""
    k = evaluation.get("turns")
    alone, over, beside = (estimate(evaluation, "named", key) for key in ("m1@t1", f"m1@t{k}", f"m{k}@t1"))
    return (
        f"{_percent(alone)} of held-out questions are answered right at once, {_percent(over)} by a vote over {k} "
        f"turns, {_percent(beside)} by a vote of {k} parallel answers ({name}, {alone.count} questions)."
    )


def estimate(values: Mapping[str, Any], *path: str) -> Estimate:
    """The estimate at a path of keys; what is missing or malformed was not measured."""
    found: Any = values
    for name in path:
        found = _table(found, name)
    if not isinstance(found, Mapping) or not isinstance(found.get("value"), int | float):
        return NOTHING
    low, high = (v if isinstance(v := found.get(end), int | float) else math.nan for end in ("low", "high"))
    return Estimate(float(found["value"]), float(low), float(high), int(found.get("count") or 1))


def _table(values: Any, name: str) -> Mapping[str, Any]:
    found = values.get(name) if isinstance(values, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _ks(found: Sequence[Mapping[str, Any]], measure: str) -> list[str]:
    return sorted({k for e in found for k in _table(e, measure) if k.isdecimal() and k != "1"}, key=int)


def _shares(name: str, values: Sequence[Estimate]) -> Row:
    cells = [Cell(_percent(e), _interval(e, 100, ".1f")) if e.count else Cell("") for e in values]
    change = _change(values)
    return Row(name, cells, f"{100 * change:+.1f} points".replace("-", "−") if change is not None else "")


def _numbers(name: str, values: Sequence[Estimate]) -> Row:
    cells = [Cell(number(e.value), _interval(e, 1, ".3g")) if e.count else Cell("") for e in values]
    change = _change(values)
    return Row(name, cells, f"{change:+.3g}".replace("-", "−") if change is not None else "")


def _turns(found: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What an evaluation of several attempts names; only the attempts themselves are counted, not shares."""
    names = dict.fromkeys(name for e in found for name in _table(e, "named"))
    kind = {name: _numbers if name.startswith("attempts") else _shares for name in names}
    return [kind[name](name, [estimate(e, "named", name) for e in found]) for name in names]


def _counts(name: str, values: Sequence[Any]) -> Row:
    return Row(name, [Cell(f"{v:,}" if isinstance(v, int) else "") for v in values], "")


def _change(values: Sequence[Estimate]) -> float | None:
    """Last less first, where both were measured."""
    measured = len(values) > 1 and values[0].count and values[-1].count
    return values[-1].value - values[0].value if measured else None


def _interval(e: Estimate, factor: float, form: str) -> str:
    if math.isnan(e.low) or math.isnan(e.high):
        return ""
    return f"{factor * e.low:{form}} to {factor * e.high:{form}}".replace("-", "−")


def _percent(e: Estimate) -> str:
    return f"{100 * e.value:.1f} %".replace("-", "−")
