"""The 5×5 grid with two cells that teleport and pay (Sutton and Barto, example 3.5); it never ends."""

from __future__ import annotations

from hone.envs.worlds.base import MOVES, Cell, GridWorld

_LEAPS = {"A": ("a", 10.0), "B": ("b", 5.0)}


class TeleportGrid(GridWorld):
    """Every action in A leads to A′ (drawn ``a``) and pays 10, in B to B′ and pays 5; a bump costs 1.

    Bumping is walking into the edge; other moves cost nothing.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__([".A.B.", ".....", "...b.", ".....", ".a..."], render_mode)

    def land(self, cell: Cell, move: int) -> tuple[Cell, float]:
        """Leap, move, or bump."""
        if (leap := _LEAPS.get(self.kind(cell))) is not None:
            return self.find(leap[0])[0], leap[1]
        target = self.shifted(cell, MOVES[move])
        return target, -1.0 if target == cell else 0.0
