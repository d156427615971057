"""The maze in which a shorter way opens while the old one stays (Sutton and Barto, example 8.3)."""

from __future__ import annotations

from hone.envs.worlds.blocking_maze import ChangingMaze

_BEFORE = ["........G", ".........", ".........", ".########", ".........", "...S....."]
_AFTER = ["........G", ".........", ".........", ".#######.", ".........", "...S....."]


class ShortcutMaze(ChangingMaze):
    """After 3,000 steps a shortcut opens on the right; nothing the agent usually does reveals it."""

    def __init__(self, switch: int = 3_000, render_mode: str | None = None) -> None:
        super().__init__(_BEFORE, _AFTER, switch, render_mode)
