"""The flat layout: every distinct token of a batch once, in one row [1,N] without padding.

All that a model does token by token runs on that row as it is. Only attention needs to know who sees whom: it is
computed in pieces of few shapes, and a token that is in several pieces merges what it found in each
(:mod:`hone.models.tree_attention`).

    rows of a batch               distinct tokens             pieces
    p p p a a . .                                             local: p p p | a a | b b b b | c   each sees itself
    p p p b b b b      →     p p p a a b b b b c       →             (short ones stand together in rows of 64)
    p p p c . . .                                             far:   a a b b b b c  sees  p p p

A tree of up to 64 tokens is one local piece with all its branches.

Dimensions: B rows, T positions, N distinct tokens; R rows of a piece, Q its queries, L its keys.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hone.models.prefixes import TOGETHER, Ints, Node, Tree, tree_of

_Range = tuple[int, int]
"""Number of a first token, and how many there are."""


_NOWHERE = 1 << 40
"""Position of what is unused: later than every query, farther than any window."""


@dataclass(frozen=True)
class Piece:
    """Rows of queries that see rows of keys. An unused place holds token 0; no query sees an unused key.

    Attributes:
        hidden: [R,1,1 or Q,L] bool, what a query must not see; None where it sees all, or with ``causal`` all that
            came before.
        causal: query i sees keys 0..i alone.
        reach: the longest way from a query back to a key.
        query: [R,Q] numbers of tokens.
        key: [R,L] numbers of tokens.
        dead: the unused places of the flattened ``query``.
        query_position: [R,Q] where the tokens stand in the text.
        key_position: [R,L].
    """

    hidden: Tensor | None
    causal: bool
    reach: int
    query: Tensor
    key: Tensor
    dead: Tensor
    query_position: Tensor
    key_position: Tensor
    _masks: dict[tuple[int | None, torch.dtype], Tensor] = field(default_factory=dict, init=False)

    def mask(self, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores: None, or finite numbers (a query that sees nothing here must not be NaN)."""
        window = None if window is None or window > self.reach else window
        if window is None and self.hidden is None:
            return None
        if (window, dtype) not in self._masks:
            hidden = self.hidden
            if window is not None:
                apart = (self.query_position[:, :, None] - self.key_position[:, None, :])[:, None]
                outside = (apart >= window) | (apart < 0) if self.causal else apart >= window
                hidden = outside if hidden is None else outside | hidden
            assert hidden is not None
            zeros = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
            self._masks[window, dtype] = zeros.masked_fill_(hidden, torch.finfo(dtype).min / 4)
        return self._masks[window, dtype]


@dataclass(frozen=True)
class Level:
    """Pieces in which no token asks twice.

    Attributes:
        pieces: differing in shape.
        place: [N] where a token stands among the queries of all pieces, flattened and joined; 0 if nowhere.
        absent: [N] bool, the tokens that ask nothing here; None where all do.
    """

    pieces: tuple[Piece, ...]
    place: Tensor
    absent: Tensor | None


@dataclass(frozen=True)
class Flat:
    """A batch in the flat layout.

    Attributes:
        levels: the local one, then one for each layer of the tree that is seen from afar.
        tokens: [N].
        position: [N] where in its rows a token stands.
        index: [B,T] number of a row's token; 0 where none was wanted.
    """

    levels: tuple[Level, ...]
    tokens: Tensor
    position: Tensor
    index: Tensor

    def __len__(self) -> int:
        return int(self.tokens.shape[0])


def flat_of(tokens_BT: Tensor, length_B: Tensor, *, share: bool, together: int = TOGETHER) -> Flat:
    """Lay out the first ``length_B`` tokens of every row.

    Args:
        tokens_BT: [B,T].
        length_B: [B], 0 for a row of which nothing is wanted. If nothing is wanted of any row, one token is computed
            all the same, so that there is a graph.
        share: compute equal beginnings once.
        together: most tokens of a tree that is one piece, and width of the rows that short ones share.
    """
    device = tokens_BT.device
    length = length_B.cpu().numpy().copy()
    if not length.any():
        length[0] = 1
    tree = tree_of(tokens_BT.cpu().numpy(), length, share=share, together=together)
    cut = _Cut(together)
    cut.place(tree.roots, 0)
    levels = [_level(_local(cut, tree), tree, device)]
    levels += [_level([_far(tasks) for tasks in _alike(cut.far[depth])], tree, device) for depth in sorted(cut.far)]
    return Flat(tuple(levels), *_moved((tree.tokens, tree.position, tree.index), device))


@dataclass
class _Cut:
    """The tree cut into what is attended in one piece.

    Attributes:
        together: most tokens of a tree that stays whole.
        units: ranges that attend to themselves, and whether each is a tree of several branches.
        far: by depth, the ranges that attend to another one, and that other one.
    """

    together: int
    units: list[tuple[_Range, bool]] = field(default_factory=list)
    far: dict[int, list[tuple[_Range, _Range]]] = field(default_factory=lambda: defaultdict(list))

    def place(self, nodes: list[Node], depth: int) -> None:
        for node in nodes:
            rest = node.end - node.start - node.own
            if not rest or node.own + rest <= self.together:
                if node.own:
                    self.units.append(((node.start, node.own + rest), rest > 0))
                continue
            self.units.append(((node.start, node.own), False))
            self.far[depth].append(((node.start + node.own, rest), (node.start, node.own)))
            self.place(node.children, depth + 1)


_Places = tuple[Ints, Ints, NDArray[np.bool_] | None, bool]
"""Query and key numbers, −1 where unused; what is hidden; whether it is causal."""


def _local(cut: _Cut, tree: Tree) -> list[_Places]:
    """Long units alone, in rows of similar length; short ones together, and trees, under a mask."""
    places: list[_Places] = []
    alone: dict[int, list[list[_Range]]] = defaultdict(list)
    packed: list[list[_Range]] = []
    used = cut.together
    for unit, branches in cut.units:
        if not branches and unit[1] > cut.together // 2:
            alone[_size(unit[1])].append([unit])
            continue
        if used + unit[1] > cut.together:
            packed.append([])
            used = 0
        packed[-1].append(unit)
        used += unit[1]
    for _, rows in sorted(alone.items()):
        query = _fill(rows)
        places.append((query, query, None, True))
    if packed:
        query = _fill(packed)
        number = np.where(query < 0, len(tree.tokens), query)
        end = np.append(_ends(cut.units, tree), len(tree.tokens) + 1)[number]
        seen = (number[:, None, :] <= number[:, :, None]) & (number[:, :, None] < end[:, None, :])
        places.append((query, query, ~seen[:, None], False))
    return places


def _ends(units: list[tuple[_Range, bool]], tree: Tree) -> Ints:
    """[N] where a token stops being seen within its own unit: what it is to other units is seen from afar."""
    last = np.empty_like(tree.end)
    for (start, count), _ in units:
        last[start : start + count] = start + count
    return np.minimum(last, tree.end)


def _alike(tasks: list[tuple[_Range, _Range]]) -> list[list[tuple[_Range, _Range]]]:
    groups: dict[tuple[int, int], list[tuple[_Range, _Range]]] = defaultdict(list)
    for queries, keys in tasks:
        groups[_size(keys[1]), _size(queries[1])].append((queries, keys))
    return [group for _, group in sorted(groups.items())]


def _far(tasks: list[tuple[_Range, _Range]]) -> _Places:
    query, key = _fill([[queries] for queries, _ in tasks]), _fill([[keys] for _, keys in tasks])
    unused = key < 0
    return query, key, unused[:, None, None] if unused.any() else None, False


def _size(length: int) -> int:
    """Lengths that differ by less than half have the same size: one shape will do for them."""
    return math.ceil(math.log(length, 1.5))


def _fill(rows: list[list[_Range]]) -> Ints:
    """[R,Q] the numbers of each row's ranges side by side; −1 on what is left."""
    start = np.array([first for row in rows for first, _ in row])
    count = np.array([many for row in rows for _, many in row])
    row = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    before = np.cumsum(count) - count  # over all rows
    width = np.bincount(row, weights=count).astype(np.int64)
    column = before - (np.cumsum(width) - width)[row]
    found = np.full((len(rows), width.max()), -1)
    steps = np.arange(count.sum()) - np.repeat(before, count)
    found[np.repeat(row, count), np.repeat(column, count) + steps] = np.repeat(start, count) + steps
    return found


def _level(places: list[_Places], tree: Tree, device: torch.device) -> Level:
    pieces = []
    place = np.full(len(tree.tokens), -1)
    offset = 0
    for query, key, hidden, causal in places:
        asked = query.ravel()
        live = np.flatnonzero(asked >= 0)
        place[asked[live]] = offset + live
        offset += len(asked)
        position = [np.where(x < 0, _NOWHERE, tree.position[x]) for x in (query, key)]
        newest = np.where(query < 0, 0, position[0]).max(1)
        reach = int((newest - position[1].min(1)).max())
        mask = None if hidden is None else torch.from_numpy(hidden).to(device)
        arrays = (np.maximum(query, 0), np.maximum(key, 0), np.flatnonzero(asked < 0), *position)
        pieces.append(Piece(mask, causal, reach, *_moved(arrays, device)))
    absent = torch.from_numpy(place < 0).to(device) if (place < 0).any() else None
    return Level(tuple(pieces), torch.from_numpy(np.maximum(place, 0)).to(device), absent)


def _moved(arrays: Sequence[Ints], device: torch.device) -> list[Any]:
    return [torch.from_numpy(x).to(device) for x in arrays]
