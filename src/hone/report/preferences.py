"""Charts of a reward model: calibration and length bias, from what an evaluation wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from hone.report.charts import Series, bars, curve, figure_to_svg
from hone.report.comparison import estimate


def preference_charts(evaluations: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """SVG of every evaluation's calibration curve and length-bias bars; [] where none is of a reward model."""
    drawn = []
    for name, found in evaluations.items():
        if not isinstance(found.get("calibration"), list):
            continue  # of a policy, whose "length" is something else
        figure = calibration_chart(found["calibration"], f"Calibration ({name})")
        drawn.append(figure_to_svg(figure, f"calibration {name}"))
        if isinstance(found.get("length"), Mapping):
            drawn.append(figure_to_svg(length_chart(found["length"], f"Length ({name})"), f"length {name}"))
    return drawn


def calibration_chart(bins: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Agreement with people against the model's confidence, with 95 % intervals, beside the diagonal."""
    x = [float(b["predicted"]) for b in bins]
    found = [estimate(b, "observed") for b in bins]
    line = Series("observed", x, [e.value for e in found], [e.low for e in found], [e.high for e in found])
    return curve(
        [line, Series("calibrated", x, x)], title=title, unit="share that agree", x_label="confidence of the model"
    )


def length_chart(length: Mapping[str, Any], title: str) -> Figure:
    """Who prefers the longer answer, and accuracy by which answer was chosen."""
    names = {
        "people prefer the longer": "people_prefer_longer",
        "model prefers the longer": "model_prefers_longer",
        "accuracy, longer chosen": "accuracy_longer",
        "accuracy, shorter chosen": "accuracy_shorter",
    }
    return bars(list(names), {"share": [estimate(length, key) for key in names.values()]}, title=title, percent=True)
