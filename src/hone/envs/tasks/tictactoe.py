"""Tic-tac-toe in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from hone.core.seeding import stream, uniforms
from hone.core.streams import key_array
from hone.envs import minimax
from hone.envs.acting.base import Moved, Scene
from hone.envs.acting.corpus import need_one_text
from hone.envs.acting.face import SUMMARIES
from hone.envs.acting.names import action_names
from hone.envs.acting.task import ActingTask
from hone.envs.arms import Floats
from hone.envs.tictactoe import Opponent, cumulative, luck_keys, opponent_table
from hone.envs.tictactoe import TicTacToe as Games

_INSTRUCTION = (
    "You are playing tic-tac-toe. The board is nine cells, numbered 0 to 8 row by row and written as nine digits: "
    "0 is empty, 1 is yours, 2 is your opponent's. You choose the cell of your next move, which must be empty. The "
    "reward at the end is 1 if you have won, 0 for a draw and -1 if you have lost; your goal is to maximise it."
)


@dataclass(frozen=True)
class TicTacToe(ActingTask):
    """The agent is 1 on the board, the opponent 2; a reward of +1, 0 or −1 comes at the end.

    A move onto a taken cell is no legal action: the penalty ``invalid`` is added and a random legal move is made.
    Every game begins from the empty board, so the splits share no luck of the opponent, and nothing else could differ.

    Attributes:
        opponent: "random", "noisy", "perfect", "mcts" or "noisy_mcts", see :func:`hone.envs.tictactoe.opponent_table`.
        agent: whether the agent moves first, second, or first in every other game.
        noise: probability of a random move of the noisy opponents.
        simulations: of an opponent that searches.
        careless: in the corpus, the probability that a move is the worst there is (by its minimax value) instead of a
            random one.
    """

    opponent: Opponent = "random"
    agent: Literal["first", "second", "both"] = "first"
    noise: float = 0.5
    simulations: int = 100
    careless: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.careless <= 1:
            raise ValueError(f"careless is {self.careless}; it must be a probability")
        if self.face.style in SUMMARIES:
            raise ValueError(f'face.style "{self.face.style}" counts actions, which says nothing about a game')
        if self.aids.try_all:
            raise ValueError("aids.try_all: a move that was made cannot be tried again in the same game")

    @cached_property
    def scene(self) -> Scene:
        """The rules and the cells."""
        return Scene(_INSTRUCTION, action_names("continuous", 9), "T|", None)

    @property
    def turns(self) -> int:
        """At most five moves are the agent's."""
        return 5

    @property
    def moments(self) -> tuple[float, float]:
        """Rewards are used as they are."""
        return 0.0, 1.0

    def first(self, episode: int) -> bool:
        """Whether the agent opens this game."""
        return self.agent == "first" or (self.agent == "both" and episode % 2 == 0)

    def games(self, split: str, episodes: Sequence[int], sample: int | Sequence[int] = 0) -> Games:
        """The same games side by side for numeric agents; ``sample`` is the seed of the text environment's reset."""
        first = [self.first(episode) for episode in episodes]
        return Games(self.table, episodes, first=first, seed=self.seed, split=split, sample=sample)

    @cached_property
    def table(self) -> Floats:
        """The opponent's policy [C, 9]."""
        return opponent_table(self.opponent, self.noise, self.simulations)

    def begin(self, split: str, episode: int, sample: int) -> Game:
        """An empty board, or one with the opponent's first move."""
        luck_T = stream(luck_keys(self.seed, split, [episode], [sample])[0], 6)
        return Game(self._cumulative, luck_T.tolist(), self.first(episode))

    @property
    def habit(self) -> Floats:
        """The policy [C, 9] whose games the corpus holds."""
        policy: Floats = self.careless * minimax.worst() + (1 - self.careless) * minimax.uniform()
        return policy

    def corpus(self, n: int, seed: int) -> list[tuple[str, str]]:
        """``n`` games of a careless player against the opponent, as (opening, the rest), in the compact form.

        Raises:
            HoneError: another form, in which what an agent reads and what it writes are not one text.
        """
        face = need_one_text(self.face)
        episodes = np.arange(n) % self.train
        luck = uniforms(key_array((seed, "tictactoe corpus"), np.arange(n)), np.arange(5, dtype=np.uint64)[:, None])
        games = self.games("train", episodes.tolist(), (np.arange(n) + (1 << 32)).tolist())
        sums, labels = cumulative(self.habit), face.labels(self.scene)
        openings = [self.scene.tag + minimax.decode(int(code)) for code in games.codes_N]
        told: list[list[str]] = [[] for _ in range(n)]
        for turn in range(5):
            playing = np.flatnonzero(~games.over_N)
            move_N = (sums[games.codes_N] <= luck[turn][:, None]).sum(axis=1).clip(max=8)
            games.step(move_N)
            for row in playing.tolist():
                told[row].append(labels[move_N[row]])
                if not games.over_N[row]:
                    told[row].append(minimax.decode(int(games.codes_N[row])))
        return [(opening, "".join(parts)) for opening, parts in zip(openings, told, strict=True)]

    @cached_property
    def _cumulative(self) -> Floats:
        return cumulative(self.table)


class Game:
    """One game in progress, as :class:`hone.envs.tictactoe.TicTacToe` plays it."""

    def __init__(self, cumulative: Floats, luck: list[float], first: bool) -> None:
        self._cumulative, self._luck, self._code, self._time = cumulative, luck, 0, 1
        if not first:
            self._code = 2 * int(minimax.POWERS[self._move(0)])
        self._see()

    def act(self, action: int) -> Moved:
        """The agent's move and the opponent's answer."""
        self._code += int(minimax.POWERS[action])
        if not minimax.OVER[self._code]:
            self._code += 2 * int(minimax.POWERS[self._move(self._time)])
            self._time += 1
        self._see()
        return Moved(float(minimax.RESULT[self._code]), terminated=bool(minimax.OVER[self._code]))

    def _move(self, time: int) -> int:
        return int((self._cumulative[minimax.SWAPPED[self._code]] <= self._luck[time]).sum())

    def _see(self) -> None:
        self.state = self.compact = minimax.decode(self._code)
        self.legal = [cell for cell, owner in enumerate(self.state) if owner == "0"]
