"""Turn after turn: what a model gains by trying again, from what an evaluation of a retry task wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from hone.evaluate.estimates import NOTHING, Estimate
from hone.report.charts import Series, curve, figure_to_svg
from hone.report.comparison import estimate

SIZE = (5.4, 3.0)
TABLE = {
    "accuracy": "right",
    "vote": "vote",
    "any": "any",
    "fixed": "fixed",
    "broken": "broken",
    "distinct": "distinct",
    "tokens": "tokens",
}
CURVES = {"vote": "majority over turns", "any": "any turn (oracle)", "accuracy": "the turn's answer"}


def turn_charts(evaluations: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """SVG of every evaluation's curves, and of all beside each other; [] where none is of a retry task."""
    found = {name: e for name, e in evaluations.items() if isinstance(e.get("named"), Mapping)}
    drawn = [figure_to_svg(turn_chart(e, f"Turn after turn ({name})"), f"turns {name}") for name, e in found.items()]
    if len(found) > 1:
        drawn.insert(0, figure_to_svg(compared_chart(found, "Accuracy of each turn"), "turns compared"))
    return drawn


def turn_chart(evaluation: Mapping[str, Any], title: str) -> Figure:
    """Accuracy of each turn, majority over turns, any turn, beside the majority of as many parallel answers."""
    lines = [series(label, estimates(evaluation, "curves", key)) for key, label in CURVES.items()]
    lines.append(series("parallel majority", estimates(evaluation, "parallel")))
    return curve(lines, title=title, unit="share right, 95 % bands", x_label="turns, answers", size=SIZE)


def compared_chart(evaluations: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Accuracy of each turn, one line per evaluation."""
    lines = [series(name, estimates(e, "curves", "accuracy")) for name, e in evaluations.items()]
    return curve(lines, title=title, unit="share right, 95 % bands", x_label="turn", size=SIZE)


def series(label: str, values: Sequence[Estimate]) -> Series:
    """Estimates of turns 1, 2, … as a line with its band."""
    x = list(range(1, len(values) + 1))
    return Series(label, x, [e.value for e in values], [e.low for e in values], [e.high for e in values])


def estimates(evaluation: Mapping[str, Any], *path: str) -> list[Estimate]:
    """The list of estimates at a path of keys; what is malformed was not measured."""
    found: Any = evaluation
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return [estimate(e) if isinstance(e, Mapping) else NOTHING for e in found] if isinstance(found, list) else []


def turn_rows(evaluation: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row per turn: what is right, what has changed, and the majority of as many parallel answers."""
    columns = {name: estimates(evaluation, "curves", key) for key, name in TABLE.items()}
    columns |= {name: [NOTHING, *columns[name]] for name in ("fixed", "broken")}  # on the way to the second turn
    columns["greedy"] = estimates(evaluation, "greedy", "accuracy")
    columns["parallel"] = estimates(evaluation, "parallel")
    columns = {name: values for name, values in columns.items() if values}
    rows = enumerate(zip(*columns.values(), strict=True), start=1)
    return [{"turn": str(n), **{k: _text(v) for k, v in zip(columns, row, strict=True)}} for n, row in rows]


def measure_rows(evaluation: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row per named measure with its interval."""
    names = {name: estimate(evaluation, "named", name) for name in evaluation["named"]}
    return [
        {"measure": name, "value": _text(e), "95 % interval": _interval(e), "questions": str(e.count)}
        for name, e in names.items()
    ]


def _text(e: Estimate) -> str:
    return f"{e.value:.3f}".replace("-", "−") if e.count else "–"


def _interval(e: Estimate) -> str:
    return f"{e.low:.3f} to {e.high:.3f}".replace("-", "−") if math.isfinite(e.low) else ""
