"""Cliff walking (Sutton and Barto, example 6.6): the shortest way runs along an edge that costs 100."""

from __future__ import annotations

from hone.envs.worlds.base import MOVES, Cell, GridWorld


class Cliff(GridWorld):
    """4×12 cells, −1 a step; stepping off the cliff costs 100 and leads back to the start without ending."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(["............"] * 3 + ["SCCCCCCCCCCG"], render_mode)

    def land(self, cell: Cell, move: int) -> tuple[Cell, float]:
        """A move, or the fall."""
        target = self.shifted(cell, MOVES[move])
        return (self.find("S")[0], -100.0) if self.kind(target) == "C" else (target, -1.0)
