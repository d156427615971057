"""Mazes that change while the agent learns (Sutton and Barto, examples 8.2 and 8.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hone.envs.worlds.dyna_maze import Maze

_BEFORE = ["........G", ".........", ".........", "########.", ".........", "...S....."]
_AFTER = ["........G", ".........", ".........", ".########", ".........", "...S....."]


class ChangingMaze(Maze):
    """A maze that becomes another after a number of steps, counted over all episodes.

    Attributes:
        before, after: the two mazes.
        switch: the step after which ``after`` holds.
        taken: steps since the environment was made (or reset with a seed, which starts its life again).
    """

    def __init__(
        self, before: Sequence[str], after: Sequence[str], switch: int, render_mode: str | None = None
    ) -> None:
        self.before, self.after = Maze(before), Maze(after)
        self.switch, self.taken = switch, 0
        super().__init__(before, render_mode)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Start an episode; a ``seed`` also restores the first maze."""
        if seed is not None:
            self.taken = 0
            self._show(self.before)
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Take one action; the maze changes between two steps."""
        if self.taken == self.switch:
            self._show(self.after)
        self.taken += 1
        return super().step(action)

    def _show(self, maze: Maze) -> None:
        self.layout, self.P = maze.layout, maze.P


class BlockingMaze(ChangingMaze):
    """The short way on the right is blocked after 1,000 steps, and a longer one opens on the left."""

    def __init__(self, switch: int = 1_000, render_mode: str | None = None) -> None:
        super().__init__(_BEFORE, _AFTER, switch, render_mode)
