"""Tic-tac-toe against a table of move probabilities, many games at once.

The agent is 1 on the board, the opponent 2; a reward of +1, 0 or −1 comes at the end. An illegal move loses
the game. The opponent's moves in game e are keyed by (seed, split, episode, sample, move), whatever games
stand beside it.

Dimensions: N parallel games.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from hone.core.errors import HoneError, nearest
from hone.core.seeding import U64
from hone.core.streams import Streams, key_array
from hone.envs import mcts, minimax
from hone.envs.bandit import Floats, Ints, check_actions, episode_ids, per_row

Opponent = Literal["random", "noisy", "perfect", "mcts", "noisy_mcts"]


def opponent_table(opponent: str, noise: float = 0.5, simulations: int = 100) -> Floats:
    """The policy [C, 9] of an opponent by name.

    Args:
        opponent: ``random``: any legal move; ``perfect``: any minimax-optimal move; ``mcts``: a tree search before
            every move (:func:`hone.envs.mcts.mcts`); ``noisy`` and ``noisy_mcts``: random with probability
            ``noise``, else perfect or a tree search.
        noise: probability of a random move of the noisy opponents.
        simulations: of a tree search.

    Raises:
        HoneError: there is no such opponent, the noise is not a probability, or a search has no simulation.
    """
    tables: dict[str, Callable[[], Floats]] = {
        "random": minimax.uniform,
        "perfect": minimax.perfect,
        "noisy": lambda: minimax.noisy(noise),
        "mcts": lambda: mcts.mcts(simulations),
        "noisy_mcts": lambda: mcts.noisy_mcts(noise, simulations),
    }
    if opponent not in tables:
        raise HoneError("there is no such tic-tac-toe opponent", got=f'"{opponent}"', do=nearest(opponent, tables))
    return tables[opponent]()


def cumulative(table: Floats) -> Floats:
    """[C, 9] running sums of an opponent's probabilities: the move at uniform u is how many of them are ≤ u."""
    sums: Floats = table.cumsum(axis=1)
    # Rounding may leave the sum just under 1: no uniform may fall past the last move.
    sums[sums > 1.0 - 1e-9] = 1.0
    return sums


def luck_keys(seed: int, split: str, episodes_N: Sequence[int] | Ints, samples_N: Sequence[int] | Ints) -> U64:
    """Keys [N] of the opponent's luck in these games: number 0 of a key's stream is for a move that opens the game,
    number t for the answer to the agent's t-th move."""
    return key_array((seed, "tictactoe", split), episodes_N, samples_N)


class TicTacToe(VectorEnv[Ints, Ints, NDArray[Any]]):
    """N games stepped at once, with Gymnasium's vector interface.

    Observations are codes of boards (:mod:`hone.envs.minimax`); ``infos["action_mask"]`` [N, 9] says what is
    legal. Games that are over stay as they are, with reward 0, until ``reset`` (``AutoresetMode.DISABLED``).

    Args:
        opponent: one that :func:`opponent_table` knows, or its policy as a table [C, 9] written for player 1.
        episodes: which games to play: their indices, or a number n for 0..n−1.
        first: whether the agent moves first: one value, or one per game.
        noise: probability of a random move of the noisy opponents.
        simulations: of an opponent that searches.
        seed: seed of all games; ``split`` and ``sample`` as in :class:`hone.envs.bandit.Bandits`.

    Attributes:
        codes_N: the boards, the agent to move or the game over.
        over_N: which games are over.

    Raises:
        HoneError: no such opponent, no game.
    """

    def __init__(
        self,
        opponent: Opponent | Floats = "random",
        episodes: int | Sequence[int] | Ints = 1,
        *,
        first: bool | Sequence[bool] | NDArray[np.bool_] = True,
        noise: float = 0.5,
        simulations: int = 100,
        seed: int = 0,
        split: str = "train",
        sample: int | Sequence[int] | Ints = 0,
    ) -> None:
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}
        table = opponent_table(opponent, noise, simulations) if isinstance(opponent, str) else opponent
        self._cumulative = cumulative(table)
        self.seed, self.split, self._first = seed, split, first
        self.single_action_space = spaces.Discrete(9)
        self.single_observation_space = spaces.Discrete(minimax.CODES)
        self._place(episode_ids(episodes), np.asarray(sample, dtype=np.int64))

    def _place(self, episodes_N: Ints, sample: Ints) -> None:
        """Set up these games; the opponent opens where it moves first."""
        self.num_envs = games = len(episodes_N)
        self.episodes_N, self.samples_N = episodes_N, per_row(sample, games, "sample")
        self.action_space = batch_space(self.single_action_space, games)
        self.observation_space = batch_space(self.single_observation_space, games)
        self._uniform = Streams(luck_keys(self.seed, self.split, episodes_N, self.samples_N))
        self.codes_N: Ints = np.zeros(games, dtype=np.int64)
        self.over_N: NDArray[np.bool_] = np.zeros(games, dtype=np.bool_)
        self.time = 0
        self._reply(~per_row(self._first, games, "first").astype(np.bool_))

    def _reply(self, where_N: NDArray[np.bool_]) -> None:
        """Let the opponent move in some games."""
        uniform_N = self._uniform.at(self.time)
        self.time += 1
        rows = np.flatnonzero(where_N)
        threshold = self._cumulative[minimax.SWAPPED[self.codes_N[rows]]]
        moves = (threshold <= uniform_N[rows, None]).sum(axis=1)
        self.codes_N[rows] += 2 * minimax.POWERS[moves]

    def _infos(self, illegal_N: NDArray[np.bool_]) -> dict[str, Any]:
        mask = minimax.LEGAL[self.codes_N] & ~self.over_N[:, None]
        return {"action_mask": mask.astype(np.int8), "illegal": illegal_N}

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Ints, dict[str, Any]]:
        """Start over; arguments as for :meth:`hone.envs.bandit.Bandits.reset`, and ``options["first"]``."""
        if isinstance(seed, list):
            raise HoneError("one seed serves all games", got=f"{len(seed)} seeds", expected="an integer")
        chosen = options or {}
        replay = seed is None and "episodes" not in chosen
        sample = chosen.get("sample", self.samples_N + 1 if replay else 0)
        self.seed = self.seed if seed is None else seed
        self._first = chosen.get("first", self._first)
        self._place(episode_ids(chosen.get("episodes", self.episodes_N)), np.asarray(sample, dtype=np.int64))
        return self.codes_N.copy(), self._infos(self.over_N)

    def step(self, actions: ArrayLike) -> tuple[Ints, Floats, NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One move of the agent and the opponent's answer, in every game that is not over.

        ``infos["illegal"]`` [N] marks moves onto a taken cell: they end the game as lost, on the board as it
        was.

        Raises:
            HoneError: not a move from 0 to 8.
        """
        moves_N = check_actions(actions, self.num_envs, 9)
        playing_N = ~self.over_N
        legal_N = minimax.LEGAL[self.codes_N, moves_N] & playing_N
        illegal_N = playing_N & ~legal_N
        self.codes_N[legal_N] += minimax.POWERS[moves_N[legal_N]]
        self._reply(legal_N & ~minimax.OVER[self.codes_N])
        self.over_N = self.over_N | illegal_N | minimax.OVER[self.codes_N]
        reward_N = np.where(playing_N, minimax.RESULT[self.codes_N], 0.0)
        reward_N[illegal_N] = -1.0
        over_N = self.over_N.copy()
        return self.codes_N.copy(), reward_N, over_N, np.zeros_like(over_N), self._infos(illegal_N)


class TicTacToeEnv(gymnasium.Env[int, int]):
    """One game at a time, as a plain Gymnasium environment; arguments as for :class:`TicTacToe`.

    ``reset()`` goes to the next game, ``reset(options={"episode": i, "sample": j, "first": True})`` to the
    one named. ``info["state"]`` is the board as nine characters.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 (Gymnasium's own)

    def __init__(
        self,
        opponent: Opponent | Floats = "random",
        *,
        first: bool = True,
        noise: float = 0.5,
        simulations: int = 100,
        seed: int = 0,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        self.games = TicTacToe(opponent, 1, first=first, noise=noise, simulations=simulations, seed=seed, split=split)
        self.action_space = spaces.Discrete(9)  # type: ignore[assignment]
        self.observation_space = spaces.Discrete(minimax.CODES)  # type: ignore[assignment]
        self.render_mode = render_mode
        self._next = 0

    def _info(self, infos: dict[str, Any]) -> dict[str, Any]:
        return {
            "action_mask": infos["action_mask"][0],
            "illegal": bool(infos["illegal"][0]),
            "state": minimax.decode(int(self.games.codes_N[0])),
        }

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Start the next game, or the one that ``options`` or a new seed name."""
        super().reset(seed=seed)
        chosen = options or {}
        episode = int(chosen.get("episode", self._next if seed is None else 0))
        self._next = episode + 1
        where = {"episodes": [episode], "sample": int(chosen.get("sample", 0))}
        where |= {"first": chosen["first"]} if "first" in chosen else {}
        codes, infos = self.games.reset(seed=seed, options=where)
        return int(codes[0]), self._info(infos)

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """One move and the opponent's answer."""
        codes, rewards, over, _, infos = self.games.step(np.array([action]))
        return int(codes[0]), float(rewards[0]), bool(over[0]), False, self._info(infos)

    def render(self) -> str | None:
        """The board as three lines of ``.``, ``X`` (the agent) and ``O``."""
        if self.render_mode != "ansi":
            return None
        cells = minimax.decode(int(self.games.codes_N[0])).translate(str.maketrans("012", ".XO"))
        return "\n".join(cells[row : row + 3] for row in (0, 3, 6)) + "\n"
