"""The prefix tree of a batch against plain loops over its rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hone.models.prefixes import common_prefixes, tree_of

rows_ = st.lists(st.lists(st.integers(0, 2), max_size=9), min_size=1, max_size=9).filter(any)


def padded(rows: list[list[int]], filler: int) -> tuple[np.ndarray, np.ndarray]:
    width = max(len(row) for row in rows) + 1
    tokens = np.array([row + [filler] * (width - len(row)) for row in rows])
    return tokens, np.array([len(row) for row in rows])


@settings(deadline=None)
@given(rows=rows_, share=st.booleans(), together=st.sampled_from([1, 4, 64]), filler=st.integers(0, 2))
def test_every_token_sees_its_own_row_and_nothing_else(
    rows: list[list[int]], share: bool, together: int, filler: int
) -> None:
    tokens, length = padded(rows, filler)
    tree = tree_of(tokens, length, share=share, together=together)
    number = np.arange(len(tree.tokens))
    seen = (number[None] <= number[:, None]) & (number[:, None] < tree.end[None])
    used = set()
    for b, row in enumerate(rows):
        path = tree.index[b, : len(row)].tolist()
        assert not tree.index[b, len(row) :].any()
        assert tree.tokens[path].tolist() == row
        assert tree.position[path].tolist() == list(range(len(row)))
        for t, i in enumerate(path):
            assert np.flatnonzero(seen[i]).tolist() == path[: t + 1]
        used |= set(path)
    assert used == set(number.tolist())
    if not share:
        assert len(tree.tokens) == sum(map(len, rows))
    elif together == 64:
        assert len(tree.tokens) == len({tuple(row[: t + 1]) for row in rows for t in range(len(row))})


def test_a_branching_that_saves_little_is_not_made() -> None:
    opening, many = [7], list(range(100))
    rows = [[*opening, 9 + i, *many] for i in range(3)]
    tree = tree_of(*padded(rows, 0), share=True)
    assert len(tree.tokens) == 3 * 102 and not any(node.children for node in tree.roots)
    rows = [many + [200 + i] * 90 for i in range(3)]
    tree = tree_of(*padded(rows, 0), share=True)
    assert len(tree.tokens) == 100 + 3 * 90 and [len(node.children) for node in tree.roots] == [3]


@settings(deadline=None)
@given(rows=rows_)
def test_common_prefixes_are_those_of_neighbours(rows: list[list[int]]) -> None:
    order, common = common_prefixes(*padded(rows, 1))
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert common[0] == 0
    distinct = set()
    for before, b, shared in zip(order, order[1:], common[1:], strict=False):
        a, c = rows[before], rows[b]
        equal = [x == y for x, y in zip(a, c, strict=False)]
        assert shared == (equal.index(False) if False in equal else len(equal))
    new = sum(len(rows[b]) for b in order) - int(common.sum())
    distinct = {tuple(row[: t + 1]) for row in rows for t in range(len(row))}
    assert new == len(distinct)
