"""The ratings of policies over rounds, from what an arena wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from hone.report.charts import Series, curve, figure_to_svg
from hone.report.comparison import estimate


def arena_chart(evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    """SVG of the ratings in ``evals/arena.json``; "" where no rounds were rated."""
    standings = evaluations.get("arena", {}).get("standings")
    return figure_to_svg(draw_arena(standings), "arena") if isinstance(standings, list) and standings else ""


def draw_arena(standings: list[dict[str, Any]]) -> Figure:
    """Bradley-Terry ratings, in points of Elo, with their 95 % bootstrap intervals, over the rounds."""
    found = [estimate(s, "rating") for s in standings]
    rounds = [float(s["round"]) for s in standings]
    line = Series("rating", rounds, [e.value for e in found], [e.low for e in found], [e.high for e in found])
    return curve(
        [line], title="Strength", unit="Bradley-Terry points, 95 % intervals", x_label="round", size=(6.2, 2.9)
    )
