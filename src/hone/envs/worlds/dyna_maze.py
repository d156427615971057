"""The Dyna maze (Sutton and Barto, example 8.1) and what mazes share: reward 1 at the goal, else 0."""

from __future__ import annotations

from hone.envs.worlds.base import MOVES, Cell, GridWorld


class Maze(GridWorld):
    """A maze with reward 1 for reaching the goal and 0 otherwise: nothing is learnt before it is found."""

    def land(self, cell: Cell, move: int) -> tuple[Cell, float]:
        """A move; walls and the edge hold the agent."""
        target = self.shifted(cell, MOVES[move])
        return target, float(self.kind(target) == "G")


class DynaMaze(Maze):
    """6×9 cells, the shortest way has 14 steps."""

    def __init__(self, render_mode: str | None = None) -> None:
        layout = [".......#G", "..#....#.", "S.#....#.", "..#......", ".....#...", "........."]
        super().__init__(layout, render_mode)
