"""Pictures of tables: values and policies drawn on their grid, and heat maps of two-dimensional states.

Cells have colours of their own, so text on them does not follow the page's: it is legible light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from hone.report.style import MUTED, PALETTE, number, style

CELL_INK = "#20252d"
KINDS = {"#": "#434a57", "G": "#8fd0a4", "C": "#eaa08c", "H": "#8aa4bf", "S": "#f6f3ea", ".": "#f6f3ea"}
"""Colours of cells without a value: wall, goal, cliff, hole, start, free."""
VALUES = LinearSegmentedColormap.from_list("values", ["#fbf6e6", "#cfe6e4", "#86bfe0"])
SIGNED = LinearSegmentedColormap.from_list("signed", ["#d9774a", "#f7f4ec", "#4a90c4"])
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Rows and columns of the moves up, right, down, left."""


@dataclass(frozen=True)
class GridPanel:
    """One grid of a picture.

    Attributes:
        title: above it.
        kinds: rows of letters (see :data:`KINDS`).
        values: [cells] by rows; colour and, with ``numbers``, text of each cell. NaN has none.
        best: [cells, 4] which of up, right, down, left are best; drawn as arrow heads.
        path: cells (row, column) joined by a line.
        numbers: write the values.
    """

    title: str
    kinds: Sequence[str]
    values: ArrayLike | None = None
    best: ArrayLike | None = None
    path: Sequence[tuple[int, int]] = ()
    numbers: bool = True


def grids(panels: Sequence[GridPanel], per_row: int = 2, cell: float = 0.52) -> Figure:
    """Grids side by side, every cell a square of ``cell`` inches."""
    columns = min(per_row, len(panels))
    rows = -(-len(panels) // columns)
    widths = [max(len(p.kinds[0]) for p in panels[i::columns]) for i in range(columns)]
    heights = [max(len(p.kinds) for p in panels[i * columns : (i + 1) * columns]) for i in range(rows)]
    size = (sum(widths) * cell + 0.2 * columns, sum(heights) * cell + 0.4 * rows)
    with style():
        figure = Figure(figsize=size, layout="constrained")
        places = figure.subplots(rows, columns, squeeze=False, width_ratios=widths, height_ratios=heights)
        for index, axes in enumerate(np.ravel(places)):
            axes.axis("off")
            if index < len(panels):
                _grid(axes, panels[index])
        return figure


def best_moves(q_SA: ArrayLike, kinds: Sequence[str], order: Sequence[int] = (0, 1, 2, 3)) -> NDArray[np.bool_]:
    """[cells, 4] the best actions, up to rounding; none in walls, goals, cliffs and holes.

    Args:
        q_SA: action values of the cells.
        kinds: rows of letters.
        order: the action numbers of up, right, down, left.
    """
    q = np.asarray(q_SA, dtype=float)[:, list(order)]
    best = q >= q.max(axis=1, keepdims=True) - 1e-9 * np.maximum(1, np.abs(q).max(axis=1, keepdims=True))
    shown: NDArray[np.bool_] = best & np.array([kind not in "#GCH" for row in kinds for kind in row])[:, None]
    return shown


def heatmap(
    values: ArrayLike,
    *,
    title: str,
    unit: str = "",
    x_label: str,
    y_label: str,
    signed: bool = False,
    whole: bool = False,
    size: tuple[float, float] = (4.2, 3.7),
) -> Figure:
    """A table of numbers as colours, first row at the bottom.

    Args:
        values: [rows, columns].
        title: what is shown; ``unit`` stands beside the colour bar.
        unit: of the values.
        x_label: of the columns.
        y_label: of the rows.
        signed: two colours that meet at 0.
        whole: values are whole numbers and each cell's is written.
        size: inches.
    """
    table = np.asarray(values, dtype=float)
    with style():
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        axes.grid(visible=False)
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        norm = TwoSlopeNorm(0, min(-1e-9, table.min()), max(1e-9, table.max())) if signed else None
        image = axes.imshow(table, origin="lower", cmap=SIGNED if signed else VALUES, norm=norm, aspect="equal")
        if whole:
            for (row, column), value in np.ndenumerate(table):
                text = f"{value:.0f}".replace("-", "−")
                axes.text(column, row, text, ha="center", va="center", fontsize=5.5, color=CELL_INK)
        else:
            bar = figure.colorbar(image, ax=axes, shrink=0.8, label=unit)
            bar.outline.set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        return figure


def _grid(axes: Any, panel: GridPanel) -> None:
    rows, columns = len(panel.kinds), len(panel.kinds[0])
    values = None if panel.values is None else np.asarray(panel.values, dtype=float).reshape(rows, columns)
    best = None if panel.best is None else np.asarray(panel.best, dtype=bool).reshape(rows, columns, 4)
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlim(-0.02, columns + 0.02)
    axes.set_ylim(rows + 0.02, -0.02)
    axes.set_aspect("equal")
    scale = _scale(values, panel.kinds)
    middle: dict[str, Any] = {"ha": "center", "va": "center", "color": CELL_INK}
    for row in range(rows):
        for column in range(columns):
            kind = panel.kinds[row][column]
            valued = values is not None and kind not in "#GCH" and np.isfinite(values[row, column])
            face = VALUES(scale(values[row, column])) if valued and values is not None else KINDS.get(kind, KINDS["."])
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=face, edgecolor="#ffffff", linewidth=1.0))
            if valued and values is not None and panel.numbers:
                text = number(round(float(values[row, column]), 3))
                axes.text(column + 0.5, row + 0.52, text, **middle, fontsize=7)
            elif kind in "GSH" and not valued:
                axes.text(column + 0.5, row + 0.52, kind, **middle, fontsize=8, fontweight="bold")
            if best is not None:
                for move in np.flatnonzero(best[row, column]):
                    axes.add_patch(_arrow(row, column, MOVES[move], small=valued and panel.numbers))
    if panel.path:
        down, across = np.array(panel.path).T + 0.5
        way = {"color": PALETTE[1], "alpha": 0.4, "zorder": 2.0}  # over the cells, under the text
        axes.plot(across, down, linewidth=7, solid_joinstyle="round", **way)
    axes.add_patch(Rectangle((0, 0), columns, rows, fill=False, edgecolor=MUTED, linewidth=0.8))


def _scale(values: NDArray[np.float64] | None, kinds: Sequence[str]) -> Any:
    """Values of the free cells as shares of their range; one value alone is the middle."""
    if values is None:
        return lambda value: 0.5
    free = np.array([[kind not in "#GCH" for kind in row] for row in kinds]) & np.isfinite(values)
    low, high = float(values[free].min()), float(values[free].max())
    return lambda value: 0.5 if high == low else (value - low) / (high - low)


def _arrow(row: int, column: int, move: tuple[int, int], small: bool) -> Polygon:
    """A triangle that points along the move: at the cell's edge beside a number, else near its middle."""
    reach, back, half = (0.46, 0.34, 0.09) if small else (0.36, 0.14, 0.13)
    centre = np.array([column + 0.5, row + 0.5])
    along, aside = np.array([move[1], move[0]]), np.array([move[0], move[1]])
    points = [
        centre + along * reach,
        centre + along * back + aside * half,
        centre + along * back - aside * half,
    ]
    return Polygon(points, closed=True, facecolor="#3b4250", edgecolor="none", zorder=2.5)
