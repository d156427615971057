"""The windy grid (Sutton and Barto, example 6.5): in the middle columns a wind blows the agent upwards."""

from __future__ import annotations

from hone.envs.worlds.base import MOVES, Cell, GridWorld

WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
"""Cells that the wind of each column adds, upwards."""


class Windy(GridWorld):
    """7×10 cells, −1 a step; the wind of the column that is left acts with the move. Shortest way: 15."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__([".........."] * 3 + ["S......G.."] + [".........."] * 3, render_mode)

    def land(self, cell: Cell, move: int) -> tuple[Cell, float]:
        """Move and drift together, held inside the grid."""
        row = cell[0] + MOVES[move][0] - WIND[cell[1]]
        column = cell[1] + MOVES[move][1]
        return (min(max(row, 0), self.rows - 1), min(max(column, 0), self.columns - 1)), -1.0
