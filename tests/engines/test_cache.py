"""The slot cache against lists of numbers: rows join, grow, leave, shift; buffers stay bounded."""

from __future__ import annotations

import random

import pytest
import torch

from hone.engines.cache import PromptBlock, SlotCache

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


def append(cache: SlotCache, values: list[float], longest: int) -> list[list[float]]:
    """One decoding step; what attention would read of each row, from the last layer's values."""
    cache.make_room(longest)
    seen = []
    for layer in range(LAYERS):
        new = torch.cat([entries([v], layer) for v in values])
        keys, stored = cache.update(new, -new, layer)
        assert torch.equal(keys, -stored)
        seen = [(key[0, :, 0] - layer).tolist() for key in keys]
        assert torch.equal(keys, keys[:, :1, :, :1].expand_as(keys))
    rows = [row[start - cache.first :] for row, start in zip(seen, cache.start, strict=True)]
    cache.advance()
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_random_traffic_reads_like_lists(seed: int) -> None:
    draw = random.Random(seed)
    slots, longest = 5, 40
    cache, number, widest = SlotCache(slots), 0.0, 0
    rows: list[list[float]] = []
    for _ in range(150):
        holes = [i for i, row in enumerate(rows) if len(row) > draw.randrange(4, longest)]
        holes += [i for i, row in enumerate(rows) if len(row) >= longest - 1 and i not in holes]
        holes.sort()
        join = draw.randrange(0, slots - len(rows) + len(holes) + 1)
        where = [*holes, *range(len(rows), slots)][:join]
        if where:
            prompts = [[number + i for i in range(draw.randrange(1, 15))] for _ in range(1 + join // 2)]
            source = sorted(draw.randrange(len(prompts)) for _ in where)
            block = block_of(prompts)
            cache.place(where, block, source, [len(prompts[s]) for s in source], longest)
            rows += [[] for _ in range(max(where) + 1 - len(rows))]
            for row, s in zip(where, source, strict=True):
                rows[row] = list(prompts[s])
        left = [h for h in holes if h not in where]
        alive = [i for i in range(len(rows)) if i not in left]
        target = [h for h in left if h < len(alive)]
        moved = alive[len(alive) - len(target) :]
        cache.move(moved, target, len(alive))
        for old, new in zip(moved, target, strict=True):
            rows[new] = rows[old]
        del rows[len(alive) :]
        if rows:
            new_values = [number + 100 + i for i in range(len(rows))]
            for row, value in zip(rows, new_values, strict=True):
                row.append(value)
            assert append(cache, new_values, longest) == rows
            assert cache.widths() == [len(row) for row in rows]
        number += 1000 if number < 1e6 else -1e6
        widest = max(widest, cache.length)
        assert cache.capacity <= slots
    assert widest <= longest + longest // 4 + 16


def test_the_live_columns_shift_when_the_buffer_ends_and_only_then_do_they_grow() -> None:
    cache = SlotCache(2)
    cache.place([0], block_of([[float(i) for i in range(300)]]), [0], [300], 400)
    assert (cache.cursor, cache.length) == (300, 375)
    for i in range(75):
        append(cache, [1000.0 + i], 400)
    assert (cache.cursor, cache.length) == (375, 375)
    rows = append(cache, [2000.0], 400)
    assert cache.length == 500 and len(rows[0]) == 376

    cache.place([0], block_of([[7.0]]), [0], [1], 400)
    before, length = cache.cursor, cache.length
    for i in range(length - before):
        append(cache, [float(i)], 400)
    assert cache.cursor == length == cache.length
    rows = append(cache, [9.0], 400)
    assert cache.length == length, "a short row is shifted to the left; nothing grows"
    assert rows == [[7.0, *map(float, range(length - before)), 9.0]]
    assert cache.cursor == len(rows[0])


def test_clear_gives_the_buffers_back() -> None:
    cache = SlotCache(2)
    cache.place([0, 1], block_of([[1.0, 2.0]]), [0, 0], [2, 2], 20)
    cache.clear()
    assert (cache.rows, cache.cursor, cache.length, cache.capacity, cache.layers) == (0, 0, 0, 0, [])
