"""The 4×4 grid with two terminal corners and −1 a step (Sutton and Barto, example 4.1)."""

from __future__ import annotations

from hone.envs.worlds.base import GridWorld


class Gridworld(GridWorld):
    """A square grid; the first and the last cell end the episode, a move costs 1, the rest are starts."""

    def __init__(self, size: int = 4, render_mode: str | None = None) -> None:
        rows = [["."] * size for _ in range(size)]
        rows[0][0] = rows[-1][-1] = "G"
        super().__init__(["".join(row) for row in rows], render_mode)
