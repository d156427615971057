"""The gambler's problem (Sutton and Barto, example 4.3): stakes on a coin until ruin or the goal."""

from __future__ import annotations

from hone.core.errors import HoneError
from hone.envs.worlds.base import Cell, Outcome, TableWorld


class Gambler(TableWorld):
    """The state is the capital; action k stakes k + 1, or what is at hand or needed where that is less.

    Heads wins the stake, tails loses it; reaching ``goal`` pays 1. There is no stake of 0, so every policy
    ends. The first capital is drawn evenly.

    Args:
        heads: probability of heads.
        goal: capital at which the game is won.
    """

    def __init__(self, heads: float = 0.4, goal: int = 100, render_mode: str | None = None) -> None:
        if not 0 < heads < 1:
            raise HoneError("the coin is not a coin", got=f"heads = {heads}", expected="a probability between 0 and 1")
        self.heads, self.goal = heads, goal
        stakes = range(1, max(2, goal // 2 + 1))
        table = {s: {a: self._outcomes(s, stake) for a, stake in enumerate(stakes)} for s in range(goal + 1)}
        start = [0.0] + [1 / (goal - 1)] * (goal - 1) + [0.0]
        super().__init__(table, start, tuple(f"stake {k}" for k in stakes), render_mode)

    def _outcomes(self, capital: int, stake: int) -> list[Outcome]:
        if capital in (0, self.goal):
            return [(1.0, capital, 0.0, True)]
        stake = min(stake, capital, self.goal - capital)
        won, lost = capital + stake, capital - stake
        return [
            (self.heads, won, float(won == self.goal), won == self.goal),
            (1 - self.heads, lost, 0.0, lost == 0),
        ]

    def picture(self) -> tuple[list[str], Cell | None]:
        """Rows of ten cells, one a unit of capital, filled as far as the capital goes."""
        units = "*" * self.state + "." * (self.goal - self.state)
        rows = [units[i : i + 10].ljust(10) for i in range(0, len(units), 10)]
        return rows[::-1], None
