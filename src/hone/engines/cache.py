"""Key-value caches for batches whose rows come and go.

Dimensions: N rows in use, P distinct prompts, H key-value heads, L columns, D head size.

Rows share one write cursor: the newest token of every row stands in column ``cursor - 1`` and its oldest in
column ``start[row]``, as with left padding. A write is therefore one slice copy for all rows, and a row's
live columns are ``start <= column < cursor``. What stands left of ``start`` is finite and dead; masks keep it
out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

_LENGTH = 256
"""Columns that buffers start with, if any request in flight is that long."""
_SLACK = 16
"""Free columns after a compaction, at least (and at least a quarter of the live ones): it is paid rarely."""


class _Block(CacheLayerMixin):  # type: ignore[misc]
    """One layer of a prompt block: keeps the keys and values of one forward pass."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: object) -> tuple[Tensor, Tensor]:
        # Rotary embeddings can leave keys wider than values under autocast; attention would round them at every step.
        self.keys, self.values, self.is_initialized = key_states.to(value_states.dtype), value_states, True
        return key_states, value_states

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1


class PromptBlock(Cache):  # type: ignore[misc]
    """Keys and values [P,H,L,D] of prompts that were prefilled together, padded on the left."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=_Block)


class _SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's buffers [capacity, H, length, D]; the columns in use belong to the whole cache."""

    def __init__(self, cache: SlotCache) -> None:
        super().__init__()
        self.cache = cache

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: object) -> tuple[Tensor, Tensor]:
        c = self.cache
        rows, first, cursor = c.rows, c.first, c.cursor
        self.keys[:rows, :, cursor : cursor + 1] = key_states
        self.values[:rows, :, cursor : cursor + 1] = value_states
        return self.keys[:rows, :, first : cursor + 1], self.values[:rows, :, first : cursor + 1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cache.cursor - self.cache.first + query_length, 0

    def get_seq_length(self) -> int:
        return self.cache.cursor - self.cache.first

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):  # type: ignore[misc]
    """In-place cache over rows that join, grow by one token a step, and leave.

    Buffers grow geometrically in rows (up to ``slots``) and columns (up to a quarter more than the longest
    request in flight), so memory is about rows in flight × longest request.

    Attributes:
        rows: N, rows in use: the first N of the buffers.
        start: first live column of every row in use.
        first: the least of them: columns before it are read by nobody.
        cursor: the column that the next token is written to.
        length: columns of the buffers.
    """

    def __init__(self, slots: int) -> None:
        super().__init__(layers=[])
        self.slots = slots
        self.clear()

    def clear(self) -> None:
        """Forget all rows and give the buffers back, so that the geometry never depends on earlier work."""
        self.layers: list[CacheLayerMixin] = []
        self.start: list[int] = []
        self.rows = self.first = self.cursor = self.length = self.capacity = 0

    def widths(self) -> list[int]:
        """Live columns of every row: its tokens whose keys and values are stored."""
        return [self.cursor - start for start in self.start]

    def place(
        self,
        rows: Sequence[int],
        block: PromptBlock,
        source: Sequence[int],
        widths: Sequence[int],
        longest: int,
    ) -> None:
        """Copy prompts into rows so that they end at the cursor.

        Args:
            rows: where: rows to overwrite, or the next unused ones in ascending order.
            block: the prefilled prompts.
            source: which prompt of the block goes to each row.
            widths: length of each of these prompts.
            longest: prompt and token limit of the longest request in flight, bounding growth.
        """
        if not self.layers:
            self.layers = [_SlotLayer(self) for _ in block.layers]
        width = max(widths)
        self._reserve_rows(max(self.rows, max(rows) + 1), block)
        kept = [s for row, s in enumerate(self.start) if row not in set(rows)]
        self.first = min(kept, default=self.cursor)
        self._reserve_columns(width, longest, block)
        self.start += [0] * (max(rows) + 1 - self.rows)
        for row, own in zip(rows, widths, strict=True):
            self.start[row] = self.cursor - own
        self._count()
        columns = slice(self.cursor - width, self.cursor)
        index_R = torch.tensor(rows, device=block.layers[0].keys.device)
        source_R = torch.tensor(source, device=index_R.device)
        for layer, prompt in zip(self.layers, block.layers, strict=True):
            layer.keys[:, :, columns][index_R] = prompt.keys[source_R, :, -width:]
            layer.values[:, :, columns][index_R] = prompt.values[source_R, :, -width:]

    def make_room(self, longest: int) -> None:
        """See that the column at the cursor can be written."""
        self._reserve_columns(0, longest, self)

    def advance(self) -> None:
        """All rows have written their column."""
        self.cursor += 1

    def move(self, source: Sequence[int], target: Sequence[int], rows: int) -> None:
        """Copy whole rows into holes and keep the first ``rows`` rows."""
        if source:
            live = slice(self.first, self.cursor)
            device = self.layers[0].keys.device
            source_M, target_M = torch.tensor(source, device=device), torch.tensor(target, device=device)
            for layer in self.layers:
                layer.keys[:, :, live][target_M] = layer.keys[:, :, live][source_M]
                layer.values[:, :, live][target_M] = layer.values[:, :, live][source_M]
        for old, new in zip(source, target, strict=True):
            self.start[new] = self.start[old]
        del self.start[rows:]
        self._count()

    def _count(self) -> None:
        self.rows = len(self.start)
        self.first = min(self.start, default=self.cursor)

    def _reserve_rows(self, rows: int, like: Cache) -> None:
        if rows > self.capacity:
            self.capacity = min(self.slots, max(2 * self.capacity, rows))
            self._reallocate(self.first, self.length, like)

    def _reserve_columns(self, width: int, longest: int, like: Cache) -> None:
        """See that the cursor is at least ``width`` and before the end: shift the live columns, or grow."""
        if width <= self.cursor < self.length:
            return
        live = self.cursor - self.first
        cursor = max(live, width)
        needed = cursor + max(_SLACK, cursor // 4)
        length = self.length
        if length < needed:
            length = max(needed, min(max(2 * length, _LENGTH), longest + longest // 4))
        self._reallocate(cursor - live, length, like)
        shift = cursor - self.cursor
        self.start = [start + shift for start in self.start]
        self.first, self.cursor = self.first + shift, cursor

    def _reallocate(self, to: int, length: int, like: Cache) -> None:
        """Give every layer buffers of ``capacity × length`` with the live columns moved to column ``to``."""
        live = slice(self.first, self.cursor)
        moved = slice(to, to + self.cursor - self.first)
        for layer, other in zip(self.layers, like.layers, strict=True):
            for name in ("keys", "values"):
                old, shape = getattr(layer, name), getattr(other, name).shape
                if old is not None and old.shape[0] == self.capacity and old.shape[2] == length:
                    # Overlapping slices: the copy needs its own memory.
                    old[: self.rows, :, moved] = old[: self.rows, :, live].clone()
                    continue
                new = getattr(other, name).new_zeros(self.capacity, shape[1], length, shape[3])
                if old is not None:
                    new[: self.rows, :, moved] = old[: self.rows, :, live]
                setattr(layer, name, new)
        self.length = length
