"""Key-value caches for batches whose rows come and go.

Dimensions: N rows in use, R rows that join, P distinct prompts, H key-value heads, L columns, D head size.

Columns are a ring. All rows share one write cursor: the newest token of every row stands in column
``(cursor - 1) mod length`` and its oldest ``width`` columns before the cursor. A write is therefore one slice copy for
all rows, nothing ever shifts, and the buffers are no longer than the longest row. Columns that are not a row's own are
finite, and an additive mask beside the keys and values, moved with them, keeps them out.

Rows stand in the order of their width, widest first, in classes of up to half as much again; attention then runs block
by block over no more columns than a block's widest row has. The order is a matter of speed alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from hone.engines.prompts import PromptBlock

Indices = NDArray[np.int64]

_LENGTH = 256
"""Columns that buffers start with, if any request in flight is that long."""
_CLASSES = np.array([16 * 2**i * half // 2 for i in range(24) for half in (2, 3)])
"""Upper bounds of the classes of width."""
_BLOCK_COST = 50_000
"""A block of its own must save the reading of this many keys (numbers, over all heads) in a layer."""
_SORT_EVERY = 8
"""Rows are put in order at most once in so many steps; until then holes are filled with whatever comes."""
DEAD = float(torch.finfo(torch.float32).min)
"""What is added to the score of a column that is not a row's own."""


class _SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's buffers [capacity, H, length, D]; what is in use belongs to the whole cache."""

    def __init__(self, cache: SlotCache) -> None:
        super().__init__()
        self.cache = cache

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: object) -> tuple[Tensor, Tensor]:
        """Write one column [N,H,1,D]; all columns of the rows in use."""
        rows, column = self.cache.rows, self.cache.column
        self.keys[:rows, :, column] = key_states[:, :, 0]
        self.values[:rows, :, column] = value_states[:, :, 0]
        return self.keys[:rows], self.values[:rows]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cache.length, 0

    def get_seq_length(self) -> int:
        return self.cache.length - 1

    def get_max_length(self) -> int:
        return -1


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Neighbouring rows that are attended together.

    Attributes:
        rows: which.
        first: cursor at which their oldest column was written.
        ragged: they did not all start there, so their masks differ.
    """

    rows: slice
    first: int
    ragged: bool


class SlotCache(Cache):  # type: ignore[misc]
    """In-place cache over rows that join, grow by one token a step, and leave.

    Buffers grow in rows to what is needed and geometrically in columns (at most the longest request
    in flight), one layer at a time. Memory is never more than rows × longest request, and one layer of it while it
    grows.

    Attributes:
        start: [N] the cursor at which each row's oldest column was written.
        cursor: columns written so far; the next one goes to ``column``.
        length: columns of the buffers.
        mask: [capacity, length] float32, 0 in a row's own columns and the least number elsewhere.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.clear()

    def clear(self) -> None:
        """Forget all rows and give the buffers back, so that the geometry never depends on earlier work."""
        self.layers: list[CacheLayerMixin] = []
        self.start: Indices = np.zeros(0, dtype=np.int64)
        self.cursor = self.length = self.capacity = self._sorted = 0
        self.mask = torch.zeros(0, 0)
        self._blocks: list[RowBlock] | None = None

    @property
    def rows(self) -> int:
        """N, rows in use: the first N of the buffers."""
        return len(self.start)

    @property
    def column(self) -> int:
        """The column that the next token is written to."""
        return self.cursor % self.length

    def widths(self) -> Indices:
        """Live columns of every row: its tokens whose keys and values are stored."""
        return self.cursor - self.start

    def order(self, keep: Indices, widths: Sequence[int]) -> Indices:
        """Where rows should stand: what comes to each position, moving as few as possible.

        Args:
            keep: rows that stay.
            widths: prompt lengths of those that join.

        Returns:
            For every new position the old row, or ``-1 - i`` for the i-th that joins.
        """
        item = np.concatenate([keep, -1 - np.arange(len(widths))])
        if self.cursor < self._sorted + _SORT_EVERY and len(keep) > 0:
            return _settle(item, 0)
        self._sorted = self.cursor
        width = np.concatenate([self.widths()[keep], np.asarray(widths, dtype=np.int64)])
        kind = -np.searchsorted(_CLASSES, width)
        source, at = np.empty(len(item), dtype=np.int64), 0
        for each in np.unique(kind):
            mine = item[kind == each]
            source[at : at + len(mine)] = _settle(mine, at)
            at += len(mine)
        return source

    def arrange(self, source: Indices, widths: Sequence[int]) -> None:
        """Put rows in the order :meth:`order` gave; places of those that join hold nothing yet.

        Args:
            source: the order.
            widths: prompt lengths of those that join.
        """
        if len(widths) == len(source) > 0:
            # Nobody is bound to the old cursor: begin at the first column.
            self.cursor = self._sorted = max(widths)
        moved = np.flatnonzero((source >= 0) & (source != np.arange(len(source))))
        if len(source) > self.capacity:
            self._resize(len(source), self.length, self)
        if len(moved):
            device, width = self.mask.device, int(self.widths()[source[moved]].max())
            index_M, source_M = torch.from_numpy(moved).to(device), torch.from_numpy(source[moved]).to(device)
            self.mask[index_M] = self.mask[source_M]
            for columns, _ in self._columns(self.cursor - width, width):
                for layer in self.layers:
                    for buffer in (layer.keys[:, :, columns], layer.values[:, :, columns]):
                        buffer[index_M] = buffer[source_M]
        start = np.full(len(source), self.cursor, dtype=np.int64)
        start[source >= 0] = self.start[source[source >= 0]]
        self.start, self._blocks = start, None

    def place(self, rows: Indices, block: PromptBlock, source: Indices, widths: Indices, longest: int) -> None:
        """Copy prompts into rows so that they end at the cursor.

        Args:
            rows: where, among the rows in use.
            block: the prefilled prompts.
            source: which prompt of the block goes to each row.
            widths: length of each of these prompts.
            longest: prompt and token limit of the longest request in flight, bounding growth.
        """
        width = int(widths.max())
        if not self.layers:
            self.layers = [_SlotLayer(self) for _ in block.layers]
        self._reserve(max(width, int(self.widths().max())) + 1, longest, block)
        self.start[rows] = self.cursor - widths
        self._blocks = None
        device = block.layers[0].keys.device
        index_R, source_R = torch.from_numpy(rows).to(device), torch.from_numpy(source).to(device)
        together = slice(int(rows[0]), int(rows[-1]) + 1)
        where = together if (np.diff(rows) == 1).all() else index_R
        for to, taken in self._columns(self.cursor - width, width):
            back = slice(taken.start - width, taken.stop - width or None)
            for layer, prompt in zip(self.layers, block.layers, strict=True):
                layer.keys[:, :, to][where] = prompt.keys[:, :, back].index_select(0, source_R)
                layer.values[:, :, to][where] = prompt.values[:, :, back].index_select(0, source_R)
        age_L = (self.cursor - 1 - torch.arange(self.length)) % self.length
        dead_RL = age_L >= torch.from_numpy(widths)[:, None]
        self.mask[where] = torch.where(dead_RL, DEAD, 0.0).to(device)

    def make_room(self, longest: int) -> None:
        """See that the column at the cursor can be written, and open it to all rows."""
        self._reserve(int(self.widths().max()) + 1, longest, self)
        self.mask[: self.rows, self.column] = 0.0

    def advance(self) -> None:
        """All rows have written their column."""
        self.cursor += 1

    def blocks(self) -> list[RowBlock]:
        """The rows in blocks of like width; few, where reading some dead columns costs less than one more block."""
        if self._blocks is None:
            self._blocks = self._cut()
        return self._blocks

    def columns(self, block: RowBlock) -> tuple[slice, bool]:
        """Columns to read for a block of rows, this step's included (all if they wrap); if they need the mask."""
        begin, end = block.first % self.length, self.column + 1
        if begin < end and end - begin == self.cursor - block.first + 1:
            return slice(begin, end), block.ragged
        return slice(0, self.length), True

    def _cut(self) -> list[RowBlock]:
        kind = np.searchsorted(_CLASSES, self.widths())
        edges = [0, *(np.flatnonzero(np.diff(kind)) + 1).tolist(), self.rows]
        keys = self.layers[0].keys
        size = keys.shape[1] * keys.shape[3]
        found: list[tuple[int, int, int]] = []
        for begin, end in pairwise(edges):
            first = int(self.start[begin:end].min())
            if found:
                a, b, before = found[-1]
                waste = (end - begin) * (first - before) if before < first else (b - a) * (before - first)
                if waste * size < _BLOCK_COST:
                    found[-1] = (a, end, min(first, before))
                    continue
            found.append((begin, end, first))
        return [RowBlock(slice(a, b), first, bool((self.start[a:b] != first).any())) for a, b, first in found]

    def _columns(self, begin: int, count: int, length: int | None = None) -> Iterator[tuple[slice, slice]]:
        """Pieces of the columns written from cursor ``begin``: where they stand, and which of them they are."""
        length, done = length or self.length, 0
        while done < count:
            at = (begin + done) % length
            size = min(count - done, length - at)
            yield slice(at, at + size), slice(done, done + size)
            done += size

    def _reserve(self, needed: int, longest: int, like: Cache) -> None:
        """Let the buffers hold all rows in use and ``needed`` columns."""
        length = self.length
        if length < needed:
            length = max(needed, min(longest, max(2 * length, _LENGTH)))
        if length > self.length or self.rows > self.capacity:
            self._resize(max(self.rows, self.capacity), length, like)

    def _resize(self, capacity: int, length: int, like: Cache) -> None:
        """Give every layer buffers of ``capacity × length`` and unroll the ring into them."""
        held = min(self.capacity, capacity)
        count = int(self.widths().max(initial=0))
        pieces = []
        for old, part in self._columns(self.cursor - count, count):
            for new, inner in self._columns(self.cursor - count + part.start, part.stop - part.start, length):
                pieces.append((slice(old.start + inner.start, old.start + inner.stop), new))
        for layer, other in zip(self.layers, like.layers, strict=True):
            for name in ("keys", "values"):
                before, shape = getattr(layer, name), getattr(other, name).shape
                new_buffer = getattr(other, name).new_zeros(capacity, shape[1], length, shape[3])
                for source, target in pieces:
                    new_buffer[:held, :, target] = before[:held, :, source]
                setattr(layer, name, new_buffer)
        if like.layers:
            mask = torch.full((capacity, length), DEAD, device=like.layers[0].keys.device)
            for source, target in pieces:
                mask[:held, target] = self.mask[:held, source]
            self.mask, self.capacity, self.length = mask, capacity, length


def _settle(items: Indices, at: int) -> Indices:
    """Items for the positions from ``at`` on; old rows that stand there already stay."""
    stays = (items >= at) & (items < at + len(items))
    found = np.empty(len(items), dtype=np.int64)
    free = np.ones(len(items), dtype=bool)
    found[items[stays] - at] = items[stays]
    free[items[stays] - at] = False
    found[free] = items[~stays]
    return found


def token_bytes(config: Any) -> int:
    """Bytes of one token's keys and values in float32, by a model's configuration."""
    heads = getattr(config, "num_attention_heads", 1)
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(config.num_hidden_layers * 2 * (getattr(config, "num_key_value_heads", None) or heads) * size * 4)
