"""Who is examined at tic-tac-toe: a policy given as a table, or a model.

Dimensions: N games, C boards (:mod:`hone.envs.minimax`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hone.core.streams import Streams, key_array
from hone.engines.base import Engine, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.envs.tasks.tictactoe import TicTacToe
from hone.evaluate.playing import played_out
from hone.models.policy import Policy
from hone.tabular.bandits.base import Floats, choose
from hone.tabular.bandits.tallies import Bools


@dataclass(frozen=True, eq=False)
class Games:
    """What came of N games.

    Attributes:
        return_N: +1 won, 0 drawn, −1 lost.
        moves, invalid: number of moves, and of those that no legal move was named for.
    """

    return_N: Floats
    moves: int
    invalid: int


class Gamer(Protocol):
    """Somebody who plays tic-tac-toe."""

    def games(self, task: TicTacToe, count: int) -> Games:
        """The first games of the task."""


@dataclass(frozen=True, eq=False)
class ByTable:
    """A policy [C, 9], as :mod:`hone.envs.minimax` writes it."""

    table: Floats
    seed: int = 0

    def games(self, task: TicTacToe, count: int) -> Games:
        """Draw every move from the table."""
        games = task.games("test", range(count))
        uniform = Streams(key_array((self.seed, "gamer"), np.arange(count)))
        total, moves = np.zeros(count), 0
        for turn in range(task.turns):
            playing: Bools = ~games.over_N
            if not playing.any():
                break
            moves += int(playing.sum())
            weight = np.where(playing[:, None], self.table[games.codes_N], 1.0)
            total += games.step(choose(np.ascontiguousarray(weight.T), uniform.at(turn)))[1]
        return Games(total, moves, 0)


@dataclass(eq=False)
class ModelGamer:
    """A policy that plays as its task shows the game.

    Attributes:
        policy: the model.
        sampling: how answers are drawn.
        split: whose games are played.
        seed: of the noise of sampling and of the opponents' luck.
    """

    policy: Policy
    sampling: Sampling
    split: str = "test"
    seed: int = 0

    def __post_init__(self) -> None:
        self.engine: Engine = EmbeddedEngine.of(self.policy)
        self.engine.sync(0)

    def games(self, task: TicTacToe, count: int) -> Games:
        """Roll the games out."""
        own = replace(task, test=max(count, task.test), train=max(count, task.train))
        found = played_out(
            self.engine, self.policy, own, self.sampling, range(count), [0] * count, self.seed, self.split
        )
        steps = [step for trajectory in found for step in trajectory.info["history"]]
        returns = np.array([trajectory.metrics["return"] for trajectory in found])
        return Games(returns, len(steps), sum(step.by == "chance" for step in steps))
