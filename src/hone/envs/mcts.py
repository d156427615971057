"""Tic-tac-toe by Monte-Carlo tree search: plain UCT on every board at once, kept as a table of moves.

One search grows a tree of positions for so many simulations. A simulation goes down the tree, at each position by
the untried move (any of them) or else by the move of largest W/n + c·√(ln N / n); it adds one position, plays on at
random to the end, and adds the result to all moves it came by. The move that was tried most is played, ties at random.
Source: Kocsis and Szepesvári (2006); Browne et al. (2012), algorithm 2.

Dimensions: N searches, M positions of a tree, 9 moves, C codes (:mod:`hone.envs.minimax`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hone.core.errors import HoneError
from hone.core.seeding import U64, uniforms
from hone.core.streams import key_array
from hone.envs.minimax import CODES, LEGAL, OVER, POWERS, RESULT, SWAPPED, Floats, Ints, noisy_of

_DEPTH = 9
"""Most moves of a game: the numbers that one simulation draws are as many for the tree and for the play-out."""
_CELLS = 1 << 22
"""Entries of one array of statistics that are alive at once."""


@cache
def mcts(simulations: int = 100, *, exploration: float = math.sqrt(2), searches: int = 8, seed: int = 0) -> Floats:
    """The policy [C, 9] of a player who searches before every move.

    Each board is searched ``searches`` times independently, and a move's probability is the share of searches that
    choose it; so a game against this table is a game against one of these searches, drawn anew at every move. Boards
    that are reflections or rotations of each other share their searches.

    Args:
        simulations: of one search.
        exploration: c.
        searches: how many.
        seed: of all of them; a search's numbers are keyed by (seed, board, search, simulation).

    Raises:
        HoneError: no simulation, no search, a negative or infinite c.
    """
    if simulations < 1 or searches < 1 or not 0 <= exploration < math.inf:
        got = f"{simulations} simulations, {searches} searches, exploration {exploration}"
        raise HoneError("a tree search cannot be made so", got=got, expected="at least 1, at least 1, at least 0")
    roots, symmetry = _representatives()
    board_N, search_N = np.repeat(roots, searches), np.tile(np.arange(searches), len(roots))
    keys_N = key_array((seed, "tree search"), board_N, search_N)
    chunk = max(_CELLS // (9 * (simulations + 1)), 1)
    parts = range(0, len(board_N), chunk)
    move_N = np.concatenate(
        [_Trees(board_N[i : i + chunk], keys_N[i : i + chunk], simulations, exploration).best() for i in parts]
    )
    share = np.zeros((CODES, 9))
    np.add.at(share, (board_N, move_N), 1.0 / searches)
    table = np.zeros((CODES, 9))
    for code, root, cells in symmetry:
        table[code] = share[root][cells]
    table.flags.writeable = False
    return table


def noisy_mcts(p: float, simulations: int = 100) -> Floats:
    """The policy [C, 9] that plays at random with probability p, else as :func:`mcts`.

    Raises:
        HoneError: p is not a probability.
    """
    return noisy_of(mcts(simulations), p)


class _Trees:
    """N searches side by side. A position is always seen by whoever is to move there, as player 1.

    Attributes:
        visits_NM9, total_NM9: how often each move was tried, and the results to whoever made it.
        child_NM9: the tree's position after each move, 0 where there is none yet.
    """

    def __init__(self, roots_N: Ints, keys_N: U64, simulations: int, exploration: float) -> None:
        self._keys_N, self._exploration = keys_N, exploration
        shape = len(roots_N), simulations + 1
        self.code_NM = np.zeros(shape, dtype=np.int32)
        self.code_NM[:, 0] = roots_N
        self.visits_NM9 = np.zeros((*shape, 9), dtype=np.float32)
        self.total_NM9 = np.zeros((*shape, 9), dtype=np.float32)
        self.child_NM9 = np.zeros((*shape, 9), dtype=np.int32)
        self._row = np.arange(len(roots_N))
        self._used_N = np.ones(len(roots_N), dtype=np.int64)
        for simulation in range(simulations):
            self._simulate(simulation * 2 * _DEPTH)

    def best(self) -> Ints:
        """The move [N] that was tried most at the root, ties at random."""
        visits = np.where(LEGAL[self.code_NM[:, 0]], self.visits_NM9[:, 0], -1.0)
        return _any(visits == visits.max(axis=1, keepdims=True), self._uniform(2 * _DEPTH * self.code_NM.shape[1]))

    def _uniform(self, position: int) -> Floats:
        return uniforms(self._keys_N, np.full(len(self._keys_N), position, dtype=np.uint64))

    def _simulate(self, position: int) -> None:
        """Select, expand, play out, back up."""
        node_N, code_N = np.zeros_like(self._row), self.code_NM[:, 0].astype(np.int64)
        in_tree_N = ~OVER[code_N]
        path: list[tuple[Ints, Ints, Ints]] = []
        for depth in range(_DEPTH):
            row = self._row[in_tree_N]
            if not len(row):
                break
            node, code = node_N[row], code_N[row]
            move = self._select(row, node, code, self._uniform(position + depth)[row])
            path.append((row, node, move))
            child = self.child_NM9[row, node, move].astype(np.int64)
            code_N[row] = SWAPPED[code + POWERS[move]]
            new = child == 0
            at = row[new]
            child[new] = self._used_N[at]
            self.child_NM9[at, node[new], move[new]] = child[new]
            self.code_NM[at, child[new]] = code_N[at]
            self._used_N[at] += 1
            node_N[row] = child
            in_tree_N[row] = ~new & ~OVER[code_N[row]]
        moves = np.zeros_like(self._row)
        for row, _, _ in path:
            moves[row] += 1
        ahead_N = self._play_out(code_N, position + _DEPTH)  # to whoever is to move at the end of the path
        for depth, (row, node, move) in enumerate(path):
            mover = np.where((moves[row] - depth) % 2 == 1, -1.0, 1.0)
            self.visits_NM9[row, node, move] += 1.0
            self.total_NM9[row, node, move] += mover * ahead_N[row]

    def _select(self, row: Ints, node: Ints, code: Ints, uniform: Floats) -> Ints:
        """An untried move where there is one, else the one of highest upper bound."""
        visits, legal = self.visits_NM9[row, node], LEGAL[code]
        untried = legal & (visits == 0)
        all_tried = ~untried.any(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = self.total_NM9[row, node] / visits
            bound = mean + self._exploration * np.sqrt(np.log(visits.sum(axis=1, keepdims=True)) / visits)
        bound = np.where(legal, np.nan_to_num(bound), -np.inf)
        return _any(np.where(all_tried, bound == bound.max(axis=1, keepdims=True), untried), uniform)

    def _play_out(self, code_N: Ints, position: int) -> Floats:
        """Result of random play to whoever is to move at these boards."""
        code_N, sign_N = code_N.copy(), np.ones(len(code_N))
        for step in range(_DEPTH):
            going = np.flatnonzero(~OVER[code_N])
            if not len(going):
                break
            move = _any(LEGAL[code_N[going]], self._uniform(position + step)[going])
            code_N[going] = SWAPPED[code_N[going] + POWERS[move]]
            sign_N[going] *= -1.0
        result_N: Floats = sign_N * RESULT[code_N]
        return result_N


def _any(options: NDArray[np.bool_], uniform: Floats) -> Ints:
    """One of the options [n, 9] of each row, uniformly."""
    place = options.cumsum(axis=1)
    wanted = (uniform * place[:, -1]).astype(np.int64) + 1
    chosen: Ints = (place < wanted[:, None]).sum(axis=1)
    return chosen


@cache
def _representatives() -> tuple[Ints, list[tuple[int, int, Ints]]]:
    """One board of each set of symmetric ones, and for every board its own with where its cells lie there.

    Boards on which player 1 is to move and which games can come to: as many 1 as 2, or one 2 more.
    """
    square = np.arange(9).reshape(3, 3)
    views = [np.rot90(side, turns).ravel() for side in (square, square.T) for turns in range(4)]
    found = []
    for code in _reachable():
        cells = np.array([code // p % 3 for p in POWERS])
        codes = [int((cells[view] * POWERS).sum()) for view in views]
        best = int(np.argmin(codes))
        found.append((code, codes[best], np.argsort(views[best])))
    return np.unique([root for _, root, _ in found]), found


def _reachable() -> Iterator[int]:
    """Codes of the unfinished boards that come up, seen by whoever is to move."""
    layer = np.zeros(1, dtype=np.int64)
    while len(layer):
        yield from layer.tolist()
        row, move = np.nonzero(LEGAL[layer])
        after = np.unique(SWAPPED[layer[row] + POWERS[move]])
        layer = after[~OVER[after]]
