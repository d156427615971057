"""The look of every chart and the arithmetic of drawing: palette, number format, smoothing, label spacing."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f6a93", "#8a8a8a")
"""Blue, vermilion, green, pink, orange, sky, violet, grey."""
INK, MUTED, GRID = "#1b1f27", "#626b78", "#dfe3e8"

VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid"} | {c: f"c{i}" for i, c in enumerate(PALETTE)}
"""Colour to the CSS variable (without its dashes) by which a page may replace it."""
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout on every machine
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a user's name is a dollar
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
}


@contextmanager
def style() -> Iterator[None]:
    """The style of every chart, for figures drawn by hand; restores what was set before."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # a script that DejaVu lacks is measured a little wrong; the reader's browser still has the glyphs
        warnings.filterwarnings("ignore", message=r"(?s)Glyph .* missing from font")
        yield


def number(value: float, digits: int = 3) -> str:
    """A number to read, in so many significant digits: 0.0312, 1.25, 8470, 12.5k, 3M, 2e−5."""
    if math.isnan(value):
        return "NaN"
    size = abs(value)
    for scale, suffix, least in ((1e9, "G", 1e9), (1e6, "M", 1e6), (1e3, "k", 1e4)):
        if size >= least and math.isfinite(value):
            return f"{value / scale:.{digits}g}{suffix}".replace("-", "−")
    text = f"{value:.0f}" if size >= 1000 else f"{value:.{digits}g}"
    return re.sub(r"e-0*", "e-", text).replace("-", "−").replace("inf", "∞")


def window(points: int) -> int:
    """Width of the running mean of a line with so many points: odd; 1 (none) for a short line."""
    return 1 if points < 40 else points // 20 | 1


def running_mean(y: NDArray[np.float64], span: int) -> NDArray[np.float64]:
    """Centred mean over ``span`` points, fewer at the ends; NaNs are left out of it and stay NaN."""
    known = np.isfinite(y)
    ones = np.ones(span)
    total = np.convolve(np.where(known, y, 0.0), ones, "same")
    return np.where(known, total / np.maximum(np.convolve(known.astype(float), ones, "same"), 1), np.nan)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights in [0, 1], moved so that neighbours stand at least ``gap`` apart."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    top = max(1.0, (len(placed) - 1) * gap)
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = min(placed[index], top)
        top = placed[index] - gap
    return placed
