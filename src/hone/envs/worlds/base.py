"""What the classical worlds share: stepping, seeding, rendering, and the table of transitions.

States are numbered row by row on grids. Actions of grids are 0 up, 1 right, 2 down, 3 left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from hone.core.errors import HoneError
from hone.envs.worlds._drawing import draw

Outcome = tuple[float, int, float, bool]
"""Probability, next state, reward, whether the episode ends: an entry of Gymnasium's toy-text tables."""
Cell = tuple[int, int]
"""Row and column."""

MOVES: tuple[Cell, ...] = ((-1, 0), (0, 1), (1, 0), (0, -1))
MOVE_NAMES = ("up", "right", "down", "left")


class World(gymnasium.Env[Any, Any], ABC):
    """A world with ``Discrete`` observations and actions.

    Attributes:
        action_names: what each action is called, for people.
        initial_state_distrib: [S] distribution of the first state.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012
    action_names: tuple[str, ...]
    initial_state_distrib: NDArray[np.float64]

    def __init__(self, states: int, actions: int, render_mode: str | None = None) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise HoneError(
                "unknown render mode",
                got=f'"{render_mode}"',
                expected=" or ".join(self.metadata["render_modes"]),
            )
        self.observation_space = Discrete(states)
        self.action_space = Discrete(actions)
        self.render_mode = render_mode
        self.state = 0

    @abstractmethod
    def advance(self, state: int, action: int) -> tuple[int, float, bool]:
        """Draw what follows: next state, reward, whether the episode ends."""

    @abstractmethod
    def picture(self) -> tuple[list[str], Cell | None]:
        """Rows of cell kinds (see ``_drawing.COLOURS``), and where the agent stands, if it does."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Start an episode; ``seed`` fixes all that follows."""
        super().reset(seed=seed)
        total = np.cumsum(self.initial_state_distrib)
        self.state = int(np.searchsorted(total, self.np_random.random() * total[-1], side="right"))
        return self.state, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Take one action; worlds never truncate."""
        if not self.action_space.contains(action):
            raise HoneError("unknown action", got=repr(action), expected=f"0 to {len(self.action_names) - 1}")
        self.state, reward, terminated = self.advance(self.state, int(action))
        return self.state, reward, terminated, False, {}

    def render(self) -> Any:
        """Text (``ansi``) or an image [H, W, 3] of bytes (``rgb_array``)."""
        kinds, agent = self.picture()
        if self.render_mode == "ansi":
            rows = [list(row) for row in kinds]
            if agent is not None:
                rows[agent[0]][agent[1]] = "@"
            return "\n".join("".join(row) for row in rows) + "\n"
        return draw(kinds, agent) if self.render_mode == "rgb_array" else None


class TableWorld(World):
    """A world given by its table ``P[state][action] = [(probability, next state, reward, ends), ...]``."""

    def __init__(
        self,
        table: dict[int, dict[int, list[Outcome]]],
        start: Sequence[float],
        action_names: tuple[str, ...],
        render_mode: str | None = None,
    ) -> None:
        super().__init__(len(table), len(action_names), render_mode)
        self.P = table
        self.initial_state_distrib = np.asarray(start, dtype=float)
        self.action_names = action_names

    def advance(self, state: int, action: int) -> tuple[int, float, bool]:
        """Draw an entry of the table."""
        outcomes = self.P[state][action]
        chosen = 0
        if len(outcomes) > 1:
            draw_ = self.np_random.random()
            total = np.cumsum([p for p, *_ in outcomes])
            chosen = min(int(np.searchsorted(total, draw_ * total[-1], side="right")), len(outcomes) - 1)
        _, following, reward, terminated = outcomes[chosen]
        return following, float(reward), bool(terminated)


class GridWorld(TableWorld):
    """A grid drawn as text: ``.`` free, ``#`` wall, ``S`` start, ``G`` goal (ends the episode), ``C`` cliff.

    Subclasses say what a move does in :meth:`land`. Several starts are equally likely; without any, every
    free cell is one.
    """

    def __init__(self, layout: Sequence[str], render_mode: str | None = None) -> None:
        self.layout = tuple(layout)
        self.rows, self.columns = len(self.layout), len(self.layout[0])
        starts = self.find("S") or self.find(".")
        start = np.zeros(self.rows * self.columns)
        start[[self.index(cell) for cell in starts]] = 1 / len(starts)
        super().__init__(self.table(), start.tolist(), MOVE_NAMES, render_mode)

    def land(self, cell: Cell, move: int) -> tuple[Cell, float]:
        """The cell a move leads to, and its reward (default −1; walls and the edge hold the agent)."""
        return self.shifted(cell, MOVES[move]), -1.0

    def kind(self, cell: Cell) -> str:
        """The letter of a cell."""
        return self.layout[cell[0]][cell[1]]

    def index(self, cell: Cell) -> int:
        """State number of a cell."""
        return cell[0] * self.columns + cell[1]

    def cell(self, state: int) -> Cell:
        """Row and column of a state."""
        return divmod(state, self.columns)

    def find(self, kind: str) -> list[Cell]:
        """All cells with this letter."""
        return [(r, c) for r, row in enumerate(self.layout) for c, letter in enumerate(row) if letter == kind]

    def shifted(self, cell: Cell, by: Cell) -> Cell:
        """The neighbouring cell, or the same one where a wall or the edge is in the way."""
        target = (cell[0] + by[0], cell[1] + by[1])
        inside = 0 <= target[0] < self.rows and 0 <= target[1] < self.columns
        return target if inside and self.kind(target) != "#" else cell

    def table(self) -> dict[int, dict[int, list[Outcome]]]:
        """The transitions; goals and walls lead to themselves, without reward, and end."""
        table: dict[int, dict[int, list[Outcome]]] = {}
        for state in range(self.rows * self.columns):
            cell = self.cell(state)
            table[state] = {}
            for move in range(len(MOVES)):
                if self.kind(cell) in "G#":
                    table[state][move] = [(1.0, state, 0.0, True)]
                else:
                    target, reward = self.land(cell, move)
                    table[state][move] = [(1.0, self.index(target), reward, self.kind(target) == "G")]
        return table

    def picture(self) -> tuple[list[str], Cell | None]:
        """The layout with the agent's cell."""
        return list(self.layout), self.cell(self.state)
