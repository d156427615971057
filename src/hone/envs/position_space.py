"""Tic-tac-toe against a fixed opponent as a decision process over positions: plain arrays for a planner.

A state is a position in which the agent is to move, or one in which the game is over; a transition is the
agent's move together with the opponent's answer. Only positions that can come up against this opponent are
states.

Dimensions: S states, A = 9 moves, C codes (see :mod:`hone.envs.minimax`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hone.core.errors import HoneError
from hone.envs.minimax import CODES, LEGAL, OVER, POWERS, RESULT, SWAPPED, Floats, Ints, decode


@dataclass(frozen=True, eq=False)
class PositionSpace:
    """The arrays that ``hone.tabular.mdp.MDP.build`` takes, in its order, and where games start.

    Attributes:
        codes_S: the board of each state, as its code, ascending.
        transitions: per move the probabilities [S, S] of the agent's next position, sparse; rows of ended games
            and of moves onto taken cells are empty.
        reward_SA: expected result (+1 won, 0 drawn or going on, −1 lost) of each move.
        terminal_S: the game is over.
        allowed_SA: the cell is empty and the game goes on.
        start_S: distribution of the first position in which the agent is to move.
    """

    codes_S: Ints
    transitions: list[sparse.csr_array]
    reward_SA: Floats
    terminal_S: NDArray[np.bool_]
    allowed_SA: NDArray[np.bool_]
    start_S: Floats


def position_space(opponent: Floats, *, first: bool) -> PositionSpace:
    """Every position that can come up against an opponent who plays by a table.

    Args:
        opponent: [C, 9] probabilities of its moves, written for player 1 (it sees the swapped board), as
            :func:`hone.envs.tictactoe.opponent_table` gives.
        first: whether the agent moves first.

    Raises:
        HoneError: the table has the wrong shape, or at a position that comes up its moves do not sum to 1 or
            lie on taken cells.
    """
    if opponent.shape != (CODES, 9):
        raise HoneError("not a table of moves", got=str(opponent.shape), expected=f"({CODES}, 9)")
    opening = np.zeros(1, dtype=np.int64)
    _, start_codes, start_chance = (opening, opening, np.ones(1)) if first else _answers(opening, opponent)
    layers, found = [start_codes], []
    while len(layers[-1]):
        row, move = np.nonzero(LEGAL[layers[-1]])
        code = layers[-1][row]
        after = code + POWERS[move]
        origin, following, chance = _answers(after, opponent)
        found.append((code[origin], move[origin], following, chance))
        layers.append(np.unique(following))
    codes_S = np.unique(np.concatenate(layers))
    code, move, following, chance = (np.concatenate(part) for part in zip(*found, strict=True))
    state, target = np.searchsorted(codes_S, code), np.searchsorted(codes_S, following)
    states = len(codes_S)
    reward_SA = np.zeros((states, 9))
    np.add.at(reward_SA, (state, move), chance * RESULT[following])
    start_S = np.zeros(states)
    start_S[np.searchsorted(codes_S, start_codes)] = start_chance
    return PositionSpace(
        codes_S=codes_S,
        transitions=[
            sparse.csr_array((chance[mine], (state[mine], target[mine])), shape=(states, states))
            for mine in (move == m for m in range(9))
        ],
        reward_SA=reward_SA,
        terminal_S=OVER[codes_S],
        allowed_SA=LEGAL[codes_S],
        start_S=start_S,
    )


def _answers(after: Ints, opponent: Floats) -> tuple[Ints, Ints, Floats]:
    """What the opponent makes of boards: index into ``after``, the next board, its probability.

    A board on which the game is over stays as it is.
    """
    going = np.flatnonzero(~OVER[after])
    swapped = SWAPPED[after[going]]
    table = opponent[swapped]
    faulty = (np.abs(table.sum(axis=1) - 1.0) > 1e-8) | ((table < 0) | ((table > 0) & ~LEGAL[swapped])).any(axis=1)
    if faulty.any():
        code = int(swapped[faulty.argmax()])
        raise HoneError(
            "the opponent's moves are no distribution over the empty cells",
            where=f'board "{decode(code)}", the opponent being 1',
            got=str(opponent[code].tolist()),
            expected="sum 1, nothing on taken cells",
        )
    row, move = np.nonzero(table)
    ended = np.flatnonzero(OVER[after])
    return (
        np.concatenate([ended, going[row]]),
        np.concatenate([after[ended], after[going[row]] + 2 * POWERS[move]]),
        np.concatenate([np.ones(len(ended)), table[row, move]]),
    )
