"""Charts in one style: curves with bands, bars with intervals, stacked areas; as SVG or PNG.

Lines are labelled where they end, not in a legend. Colours are told apart by colour-blind readers (Okabe and
Ito 2008). Inside a page a chart follows the page's colours through CSS variables, so it is legible light and
dark. Figures are made without pyplot: nothing global is touched.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray

from hone.evaluate.estimates import Estimate, t_mean
from hone.report.style import INK, MUTED, PALETTE, VARIABLES, number, running_mean, spread, style, window

SIZE = (4.2, 2.55)
"""Width and height in inches of a chart that stands beside others."""


@dataclass(frozen=True)
class Series:
    """One line: points, and (with ``low`` and ``high``) a band of uncertainty around it. NaN leaves a gap."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def over_seeds(label: str, x: Sequence[float], runs: Sequence[Sequence[float]]) -> Series:
    """The mean over seeds with Student's 95 % interval at each x; one seed has no band.

    Args:
        label: name of the line.
        x: [N].
        runs: [seeds][N]; a NaN is left out of its mean.
    """
    columns = [[v for v in column if math.isfinite(v)] for column in zip(*runs, strict=True)]
    found = [t_mean(column) for column in columns]
    return Series(label, x, [e.value for e in found], [e.low for e in found], [e.high for e in found])


def curve(
    series: Sequence[Series],
    *,
    title: str,
    unit: str = "",
    x_label: str = "step",
    log: bool = False,
    smooth: bool = False,
    limits: tuple[float | None, float | None] = (None, None),
    size: tuple[float, float] = SIZE,
) -> Figure:
    """Lines over x, each labelled at its right end with its last value.

    Args:
        series: at most as many as :data:`PALETTE` has colours.
        title: what is shown.
        unit: of the y axis, under the title.
        x_label: of the x axis.
        log: logarithmic y axis; values that are not positive are left out.
        smooth: draw a long line thin and its running mean (:func:`window` points) on top.
        limits: of the y axis; None fits the data.
        size: inches.
    """
    with style():
        figure, axes = _figure(title, unit, size)
        ends = []
        for line, colour in zip(series, PALETTE, strict=False):
            x, y = _finite(line.x), _finite(line.y, positive=log)
            span = window(len(y)) if smooth else 1
            marker = {"marker": "o", "markersize": 3} if np.isfinite(y).sum() <= 25 else {}
            if line.low is not None and line.high is not None:
                low, high = _finite(line.low, positive=log), _finite(line.high)
                axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            if span > 1:
                axes.plot(x, y, color=colour, alpha=0.3, linewidth=0.8)
                y = running_mean(y, span)
            axes.plot(x, y, color=colour, **marker)
            if np.isfinite(y).any():
                ends.append((line.label, float(y[np.isfinite(y)][-1]), colour))
        axes.set_yscale("log" if log else "linear")
        axes.set_ylim(*limits)
        axes.set_xlabel(x_label, loc="right", fontsize=8)
        _ticks(axes)
        _label_ends(axes, [(f"{n}  {number(v)}" if len(series) > 1 else number(v), v, c) for n, v, c in ends])
        return figure


def stacked(
    x: Sequence[float],
    parts: Mapping[str, Sequence[float]],
    *,
    title: str,
    unit: str = "",
    x_label: str = "step",
) -> Figure:
    """Parts of a whole over x as stacked areas, labelled with their means over x; NaN is 0."""
    with style():
        figure, axes = _figure(title, unit, SIZE)
        values = [np.nan_to_num(_finite(y)) for y in parts.values()]
        heights = [running_mean(y, window(len(x))) for y in values]
        axes.stackplot(x, heights, colors=PALETTE, alpha=0.85, linewidth=0)
        axes.set_xlabel(x_label, loc="right", fontsize=8)
        axes.set_ylim(bottom=0)
        _ticks(axes)
        tops = np.cumsum([height[-1] for height in heights])
        middles = tops - np.array([height[-1] for height in heights]) / 2
        texts = [f"{name}  {number(float(y.mean()))}" for name, y in zip(parts, values, strict=True)]
        _label_ends(axes, list(zip(texts, middles.tolist(), PALETTE, strict=False)))
        return figure


def bars(
    labels: Sequence[str],
    series: Mapping[str, Sequence[Estimate]],
    *,
    title: str,
    unit: str = "",
    percent: bool = False,
    width: float = SIZE[0],
) -> Figure:
    """Groups of horizontal bars with 95 % intervals, one group per label, one bar per series.

    Args:
        labels: of the groups, from top to bottom.
        series: name to one estimate per label; NaN has no bar.
        title: what is shown.
        unit: of the values, under the title.
        percent: values are shares, shown in per cent.
        width: inches; the height follows from the number of bars.
    """
    thick = 0.8 / len(series)
    with style():
        figure, axes = _figure(title, unit, (width, 1.0 + 0.19 * len(labels) * (len(series) + 0.6)))
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        ends = [1.08]  # of what is drawn; a share of something else may pass 100 %
        for index, ((name, estimates), colour) in enumerate(zip(series.items(), PALETTE, strict=False)):
            at = np.arange(len(labels)) + (index - (len(series) - 1) / 2) * thick
            value, low, high = (_finite([getattr(e, f) for e in estimates]) for f in ("value", "low", "high"))
            axes.barh(at, np.nan_to_num(value), height=thick * 0.88, color=colour, label=name)
            axes.hlines(at, low, high, color=INK, linewidth=0.9)
            for y, v, end in zip(at, value, np.fmax(value, high), strict=True):
                if math.isfinite(v):
                    ends.append(end)
                    text = f"{100 * v:.0f} %" if percent else number(v)
                    offset = {"xytext": (4, 0), "textcoords": "offset points"}
                    axes.annotate(text, (end, y), **offset, va="center", fontsize=7.5, color=MUTED)
        axes.set_yticks(range(len(labels)), labels, color=INK)
        axes.invert_yaxis()
        axes.set_xlim(left=0, right=max(ends) if percent else None)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %" if percent else number(v, 6)))
        if len(series) > 1:
            # Between the title and the bars, where it can meet neither.
            lift = 18 if unit else 4
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=lift + 20)
            key = axes.legend(loc="lower left", ncols=len(series), frameon=False, fontsize=8, borderaxespad=0)
            key.set_bbox_to_anchor((0, 1), transform=offset_copy(axes.transAxes, figure, 0, lift, units="points"))
        return figure


def figure_to_svg(figure: Figure, name: str) -> str:
    """An ``<svg>`` element to stand in a page: text as text, ids that begin with ``name``.

    Colours and font become CSS variables with what they were as fallback. The same figure and name give
    the same characters.
    """
    buffer = io.StringIO()
    with style(), mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    prefix = re.sub(r"[^a-z0-9]+", "-", name.lower())
    svg = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = svg.replace("'DejaVu Sans'", "var(--font, 'DejaVu Sans')")
    for colour, variable in VARIABLES.items():
        svg = svg.replace(f": {colour}", f": var(--{variable}, {colour})")
    return svg.strip()


def save_png(figure: Figure, path: Path, dpi: int = 200) -> None:
    """Write the figure on white, for a document."""
    with style():
        figure.savefig(path, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})


def _figure(title: str, unit: str, size: tuple[float, float]) -> tuple[Figure, Any]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=18 if unit else 8)
    if unit:
        axes.annotate(unit, (0, 1), (0, 6), "axes fraction", "offset points", fontsize=8, color=MUTED)
    return figure, axes


def _ticks(axes: Any) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: number(v, 6)))
    label = FuncFormatter(lambda v, _: number(v, 6))
    axes.yaxis.set_major_formatter(label)
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    decades = math.log10(high / low) if axes.get_yscale() == "log" else 0.0
    if decades < 0.8:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_minor_locator(NullLocator())
    elif decades < 2.5:
        # Powers of ten alone would be one or two labels.
        axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        axes.yaxis.set_minor_formatter(label)
    axes.margins(x=0.02)


def _label_ends(axes: Any, ends: Sequence[tuple[str, float, str]]) -> None:
    """Write (text, y, colour) right of the axes at their heights, pushed apart where they would overlap."""
    to_axes = axes.transData + axes.transAxes.inverted()
    found = [(float(np.clip(to_axes.transform((1.0, y))[1], 0, 1)), text, colour) for text, y, colour in ends]
    found.sort()
    gap = 1.35 * 8 / 72 / (axes.figure.get_figheight() * 0.66)  # a line of 8 pt type, as a share of the axes
    for height, (_, text, colour) in zip(spread([h for h, _, _ in found], gap), found, strict=True):
        place = {"xytext": (5, 0), "textcoords": "offset points", "xycoords": "axes fraction"}
        axes.annotate(text, (1, height), **place, va="center", fontsize=8, color=colour, fontweight="bold")


def _finite(values: Sequence[float] | NDArray[np.float64], positive: bool = False) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    return np.where(np.isfinite(array) & ((array > 0) | (not positive)), array, np.nan)
