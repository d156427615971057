"""Tic-tac-toe solved: exact values, policies as tables, exact returns and best responses over all boards.

A board is nine cells, 0 empty, 1 and 2 the players; its *code* is Σ_i cell_i·3^i, so that tables are arrays
over the 3⁹ = 19,683 codes (the unreachable ones are filled in as well, harmlessly). Policies are written for
player 1: ``table[code, move]`` is the probability that player 1, to move, plays ``move``. For player 2 the
board is read with the players swapped.

Dimensions: C codes, 9 moves.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from hone.core.errors import HoneError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CODES = 3**9
POWERS: Ints = 3 ** np.arange(9)
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))

CELLS: NDArray[np.int8] = (np.arange(CODES)[:, None] // POWERS % 3).astype(np.int8)
"""The nine cells [C, 9] of every code."""

SWAPPED: Ints = np.where(CELLS == 0, 0, 3 - CELLS) @ POWERS
"""The code [C] of the same board with the players swapped."""

WON: NDArray[np.bool_] = np.array([(CELLS[:, LINES] == player).all(axis=2).any(axis=1) for player in (1, 2)])
"""Whether player 1 (row 0) or player 2 (row 1) has three in a row [2, C]."""

OVER: NDArray[np.bool_] = WON.any(axis=0) | (CELLS != 0).all(axis=1)
"""Whether the game has ended [C]."""

LEGAL: NDArray[np.bool_] = (CELLS == 0) & ~OVER[:, None]
"""Which moves may be played [C, 9]: empty cells while the game lasts."""

RESULT: Floats = WON[0].astype(np.float64) - WON[1]
"""What an ended game is worth to player 1 [C]: +1, 0 or −1; 0 while it lasts."""


def encode(board: str) -> int:
    """The code of a board written as nine characters 0, 1, 2, row by row.

    Raises:
        HoneError: not such a string.
    """
    if len(board) != 9 or set(board) - set("012"):
        raise HoneError("not a tic-tac-toe board", got=repr(board), expected="nine characters of 0, 1, 2")
    return sum(int(cell) * int(power) for cell, power in zip(board, POWERS, strict=True))


def decode(code: int) -> str:
    """The board of a code, as nine characters."""
    return "".join(str(cell) for cell in CELLS[code])


def _by_empties(empties: int) -> Ints:
    """Codes of the unfinished boards with so many empty cells."""
    return np.flatnonzero(((CELLS == 0).sum(axis=1) == empties) & ~OVER)


def _next(codes: Ints, player: int) -> tuple[Ints, NDArray[np.bool_]]:
    """The boards [n, 9] after each move of a player, and which moves are legal (elsewhere the board is code
    0)."""
    legal = LEGAL[codes]
    return np.where(legal, codes[:, None] + player * POWERS, 0), legal


@cache
def minimax() -> Floats:
    """Value [C] to player 1, who is to move, if both play perfectly (+1 won, 0 drawn, −1 lost)."""
    value = RESULT.copy()
    for empties in range(1, 10):
        codes = _by_empties(empties)
        after, legal = _next(codes, 1)
        # After the move it is player 2's turn: by symmetry, minus the value of the swapped board.
        value[codes] = np.where(legal, -value[SWAPPED[after]], -np.inf).max(axis=1)
    value.flags.writeable = False
    return value


@cache
def perfect() -> Floats:
    """The policy [C, 9] that is uniform over the moves of best minimax value.

    It never gives a result away, but may let a won game go on where a win in one is at hand.
    """
    return _extreme(1.0)


@cache
def worst() -> Floats:
    """The policy [C, 9] that is uniform over the legal moves of least minimax value."""
    return _extreme(-1.0)


def _extreme(sign: float) -> Floats:
    table = np.zeros((CODES, 9))
    value = minimax()
    codes = np.flatnonzero(~OVER)
    after, legal = _next(codes, 1)
    outcome = np.where(legal, -sign * value[SWAPPED[after]], -np.inf)
    best = legal & (outcome == outcome.max(axis=1, keepdims=True))
    table[codes] = best / best.sum(axis=1, keepdims=True)
    table.flags.writeable = False
    return table


@cache
def uniform() -> Floats:
    """The policy [C, 9] that plays any legal move."""
    table: Floats = LEGAL / np.maximum(LEGAL.sum(axis=1, keepdims=True), 1)
    table.flags.writeable = False
    return table


@cache
def noisy(p: float) -> Floats:
    """The policy [C, 9] that plays at random with probability p, else perfectly.

    Raises:
        HoneError: p is not a probability.
    """
    return noisy_of(perfect(), p)


def noisy_of(table: Floats, p: float) -> Floats:
    """The policy [C, 9] that plays at random with probability p, else by a table.

    Raises:
        HoneError: p is not a probability.
    """
    if not 0.0 <= p <= 1.0:
        raise HoneError("not a probability", where="noise of the opponent", got=str(p), expected="0 to 1")
    mixed: Floats = p * uniform() + (1.0 - p) * table
    mixed.flags.writeable = False
    return mixed


def outcomes(policy: Floats, opponent: Floats, *, first: bool) -> Floats:
    """Exact probabilities (won, drawn, lost) of one policy against another, by backward induction.

    Args:
        policy: [C, 9] of player 1.
        opponent: [C, 9], also written for player 1: it sees the swapped board.
        first: whether the policy moves first.
    """
    end = np.stack([WON[0], ~WON[0] & ~WON[1], WON[1]], axis=1).astype(np.float64)
    return _induct(end, policy, opponent, first=first)


def expected_return(policy: Floats, opponent: Floats, *, first: bool) -> float:
    """Exact expected return (+1 won, 0 drawn, −1 lost) of one policy against another."""
    won, _, lost = outcomes(policy, opponent, first=first)
    return float(won - lost)


def best_response(opponent: Floats, *, first: bool) -> float:
    """The highest expected return that any policy has against this one (it knows the opponent's
    probabilities)."""
    return float(_induct(RESULT[:, None].copy(), None, opponent, first=first)[0])


def _induct(end: Floats, policy: Floats | None, opponent: Floats, *, first: bool) -> Floats:
    """Expectation of an end-of-game vector [C, M] from the empty board; without a policy, player 1 maximises.

    Whose turn it is follows from the count of empty cells, so that one table serves both movers.
    """
    value = end
    for empties in range(1, 10):
        codes = _by_empties(empties)
        ours = (empties % 2 == 1) == first
        after, legal = _next(codes, 1 if ours else 2)
        if ours and policy is None:
            value[codes] = np.where(legal[..., None], value[after], -np.inf).max(axis=1)
        else:
            chance = policy[codes] if ours and policy is not None else opponent[SWAPPED[codes]]
            value[codes] = (np.where(legal, chance, 0.0)[..., None] * value[after]).sum(axis=1)
    result: Floats = value[0]
    return result
