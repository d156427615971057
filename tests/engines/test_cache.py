"""The slot cache against lists of numbers: rows join, grow, leave, wrap around; buffers stay bounded."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from hone.engines.cache import SlotCache
from hone.engines.prompts import PromptBlock

LAYERS, HEADS, SIZE = 2, 2, 3


def entries(values: list[float], layer: int) -> torch.Tensor:
    """[1,H,L,D] whose entry for value v is v + layer in every head and dimension."""
    return torch.tensor(values)[None, None, :, None].expand(1, HEADS, -1, SIZE) + layer


def block_of(prompts: list[list[float]]) -> PromptBlock:
    block, width = PromptBlock(), max(len(p) for p in prompts)
    for layer in range(LAYERS):
        rows = torch.cat([entries([-1.0] * (width - len(p)) + p, layer) for p in prompts])
        block.update(rows, -rows, layer)
    return block


def append(cache: SlotCache, values: list[float], longest: int) -> list[set[float]]:
    """One decoding step; the values that attention would read of each row, from every layer's keys."""
    cache.make_room(longest)
    seen: list[list[set[float]]] = []
    for layer in range(LAYERS):
        new = torch.cat([entries([v], layer) for v in values])
        keys, stored = cache.update(new, -new, layer)
        assert torch.equal(keys, -stored) and torch.equal(keys, keys[:, :1, :, :1].expand_as(keys))
        rows: list[set[float]] = []
        for block in cache.blocks():
            columns, masked = cache.columns(block)
            for row in range(block.rows.start, block.rows.stop):
                read = keys[row, 0, columns, 0] - layer
                live = cache.mask[row, columns] == 0
                assert masked or bool(live.all()), "without a mask every column read is the row's own"
                rows.append(set(read[live].tolist()))
        seen.append(rows)
    assert all(rows == seen[0] for rows in seen)
    cache.advance()
    return seen[0]


def join(cache: SlotCache, keep: list[int], prompts: list[list[float]], kind: list[int], longest: int) -> list[int]:
    """Rows that stay and prompts that join; returns what stands where, as :meth:`SlotCache.order` does."""
    widths = [len(prompts[k]) for k in kind]
    source = cache.order(np.array(keep, dtype=np.int64), widths)
    assert sorted(source.tolist()) == sorted([*keep, *(-1 - i for i in range(len(kind)))])
    cache.arrange(source, widths)
    rows = np.array([int(np.flatnonzero(source == -1 - i)[0]) for i in range(len(kind))], dtype=np.int64)
    half = len(kind) // 2  # in two parts, as when prompts come from two blocks
    for part in (slice(0, half), slice(half, len(kind))):
        if kind[part]:
            block = block_of(prompts)
            cache.place(rows[part], block, np.array(kind[part]), np.array(widths[part]), longest)
    return [int(s) for s in source]


@pytest.mark.parametrize("seed", range(8))
def test_random_traffic_reads_like_lists(seed: int) -> None:
    draw = random.Random(seed)
    slots, longest = draw.choice([3, 20, 60]), draw.choice([17, 40])
    cache, number, rows = SlotCache(), 0.0, list[list[float]]()
    for _ in range(120):
        keep = [i for i, row in enumerate(rows) if len(row) < longest - 1 and draw.random() > 0.1]
        count = draw.randrange(0, slots - len(keep) + 1) if draw.random() < 0.6 else 0
        prompts = [[number + i for i in range(draw.randrange(1, 15))] for _ in range(1 + count // 2)]
        kind = sorted(draw.randrange(len(prompts)) for _ in range(count))
        source = join(cache, keep, prompts, kind, longest)
        rows = [list(rows[s]) if s >= 0 else list(prompts[kind[-1 - s]]) for s in source]
        if rows:
            new = [number + 100 + i for i in range(len(rows))]
            for row, value in zip(rows, new, strict=True):
                row.append(value)
            assert append(cache, new, longest) == [set(row) for row in rows]
            assert cache.widths().tolist() == [len(row) for row in rows]
        number += 1000 if number < 1e6 else -1e6
        assert cache.capacity <= slots and cache.length <= longest
        assert all(tuple(layer.keys.shape[::2]) == (cache.capacity, cache.length) for layer in cache.layers)


def test_columns_wrap_around_and_never_grow_past_the_longest_row() -> None:
    cache = SlotCache()
    join(cache, [], [[1.0, 2.0, 3.0]], [0], 5)
    assert (cache.cursor, cache.length) == (3, 5)
    assert append(cache, [4.0], 5) == [{1, 2, 3, 4}]
    join(cache, [], [[7.0]], [0], 5)
    for step in range(4):
        assert append(cache, [10.0 + step], 5) == [{7, *(10.0 + i for i in range(step + 1))}]
    assert cache.length == 5 and cache.column == 0
    join(cache, [0], [[8.0, 9.0]], [0], 8)
    assert append(cache, [20.0, 21.0], 8) == [{7, 10, 11, 12, 13, 20}, {8, 9, 21}]
    assert cache.length == 8, "a longer row unrolls the ring into longer buffers"


def test_rows_of_like_width_are_read_together_and_no_further_than_the_widest() -> None:
    cache = SlotCache()
    long, short = [float(i) for i in range(200)], [5.0]
    prompts = [long, short]
    assert join(cache, [], prompts, [0] * 24 + [1] * 40, 256) == list(range(-1, -65, -1))
    blocks = [(block.rows, cache.columns(block)) for block in cache.blocks()]
    waste = 40 * 199 * HEADS * SIZE
    assert waste < 50_000 and len(blocks) == 1, "too little to read to be worth a block of its own"
    for layer in cache.layers:
        layer.keys = layer.keys.expand(-1, -1, -1, SIZE).repeat(1, 4, 1, 4)
    cache._blocks = None
    assert [block.rows for block in cache.blocks()] == [slice(0, 24), slice(24, 64)]
    assert [cache.columns(block) for block in cache.blocks()] == [(slice(0, 201), False), (slice(199, 201), False)]


def test_buffers_are_bounded_also_while_they_grow() -> None:
    """Peak of all tensors' bytes: rows × longest for keys and values, and a layer's share of the old ones."""
    layers, heads, size, slots, longest = 12, 4, 16, 32, 640
    cache = SlotCache()
    block = PromptBlock()
    for layer in range(layers):
        block.update(torch.ones(1, heads, 3, size), torch.ones(1, heads, 3, size), layer)
    source = cache.order(np.zeros(0, dtype=np.int64), [3] * slots)
    cache.arrange(source, [3] * slots)
    bound = 1.1 * layers * slots * longest * heads * size * 2
    peak = [0]

    class Counting(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = func(*args, **(kwargs or {}))
            held = {id(b): b.numel() for layer in cache.layers for b in (layer.keys, layer.values) if b is not None}
            if isinstance(result, torch.Tensor) and func.__name__ == "new_zeros":
                held[id(result)] = result.numel()
            peak[0] = max(peak[0], sum(held.values()))
            return result

    with Counting():
        cache.place(np.arange(slots), block, np.zeros(slots, dtype=np.int64), np.full(slots, 3), longest)
        for _ in range(longest - 4):
            cache.make_room(longest)
            cache.advance()
    assert cache.length == longest and cache.capacity == slots
    assert bound / 2 < peak[0] <= bound


def test_clear_gives_the_buffers_back() -> None:
    cache = SlotCache()
    join(cache, [], [[1.0, 2.0]], [0, 0], 20)
    cache.clear()
    assert (cache.rows, cache.cursor, cache.length, cache.capacity, cache.layers) == (0, 0, 0, 0, [])
    assert cache.mask.numel() == 0
