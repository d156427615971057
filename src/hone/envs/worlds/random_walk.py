"""The random walk (Sutton and Barto, example 6.2): a row of states with an end on either side."""

from __future__ import annotations

from hone.envs.worlds.base import Cell, Outcome, TableWorld


class RandomWalk(TableWorld):
    """``states`` states between two terminal ones, start in the middle, reward 1 at the right end only.

    The actions are left and right; following the uniform policy, state i of n (from 1) is worth ``i / (n +
    1)``.
    """

    def __init__(self, states: int = 5, render_mode: str | None = None) -> None:
        end = states + 1
        table: dict[int, dict[int, list[Outcome]]] = {}
        for state in range(end + 1):
            stays = state in (0, end)
            table[state] = {}
            for action, move in enumerate((-1, 1)):
                following = state if stays else state + move
                reward = float(following == end and not stays)
                table[state][action] = [(1.0, following, reward, following in (0, end))]
        start = [float(state == (end + 1) // 2) for state in range(end + 1)]
        super().__init__(table, start, ("left", "right"), render_mode)

    def picture(self) -> tuple[list[str], Cell | None]:
        """One row of cells; the left end is drawn as a wall."""
        return ["#" + "." * (len(self.P) - 2) + "G"], (0, self.state)
