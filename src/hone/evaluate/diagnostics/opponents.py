"""Tic-tac-toe against every opponent, moving first and second, beside what is possible.

The exact return of the best response and those of random and perfect play stand beside the measured one
(:mod:`hone.envs.minimax`): every opponent here is a table of move probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hone.engines.base import Sampling
from hone.envs import minimax
from hone.envs.tasks.tictactoe import TicTacToe
from hone.envs.tictactoe import Opponent
from hone.evaluate.estimates import bootstrap_mean, share
from hone.evaluate.gamers import Gamer, ModelGamer
from hone.models.policy import Policy


@dataclass(frozen=True)
class Opponents:
    """Return, won, drawn and lost games, and the share of moves that named no empty cell.

    Attributes:
        games: against each opponent, and as many moving second.
        opponents: whom to play.
    """

    games: int = 256
    opponents: tuple[Opponent, ...] = ("random", "noisy", "perfect", "mcts", "noisy_mcts")

    def __post_init__(self) -> None:
        if self.games < 1:
            raise ValueError("games must be at least 1")

    @staticmethod
    def suits(task: object) -> bool:
        """It is tic-tac-toe."""
        return isinstance(task, TicTacToe)

    def of_model(self, policy: Policy, task: TicTacToe, sampling: Sampling, split: str, seed: int) -> dict[str, Any]:
        """Examine a model."""
        return self.examine(ModelGamer(policy, sampling, split, seed), task)

    def examine(self, gamer: Gamer, task: TicTacToe) -> dict[str, Any]:
        """Play; what was measured, as plain values for JSON.

        Args:
            gamer: who plays.
            task: noise, simulations, face; the opponent and who begins are varied.
        """
        found: dict[str, Any] = {}
        moves = invalid = 0
        for opponent in self.opponents:
            for agent in ("first", "second"):
                own = replace(task, opponent=opponent, agent=agent)
                games = gamer.games(own, self.games)
                moves, invalid = moves + games.moves, invalid + games.invalid
                returns = games.return_N.tolist()
                found[f"{opponent}, {agent}"] = {
                    "return": bootstrap_mean(returns, None, ("opponents", opponent, agent)).plain(),
                    **{name: share([r == v for r in returns]).plain() for name, v in RESULTS.items()},
                    **exact(own),
                }
        return {
            "diagnostic": "opponents",
            "games": self.games,
            "invalid": share([1.0] * invalid + [0.0] * (moves - invalid)).plain(),
            "opponents": found,
        }


RESULTS = {"won": 1.0, "drawn": 0.0, "lost": -1.0}


def exact(task: TicTacToe) -> dict[str, float]:
    """Returns of random play, of perfect play and of the best response against the task's opponent."""
    first = task.first(0)
    return {
        "random": minimax.expected_return(minimax.uniform(), task.table, first=first),
        "perfect": minimax.expected_return(minimax.perfect(), task.table, first=first),
        "best_response": minimax.best_response(task.table, first=first),
    }
