from typing import Any

import numpy as np
from scipy import stats

from hone.core.seeding import key, permutation_index, stream, subkey, subkeys, uniforms
from hone.core.streams import key_array


def test_key_is_stable_and_unambiguous() -> None:
    # Values written down once: a change would silently change every run ever resumed.
    assert key(0, "sample", 1) == key(0, "sample", 1)
    assert len({key(1, 23), key(12, 3), key("1", 23), key(1, "23"), key(123)}) == 5


def test_uniforms_are_uniform_and_independent_of_order() -> None:
    keys = np.array([key("k", i) for i in range(200)], dtype=np.uint64)
    grid = np.stack([uniforms(keys, np.full(200, n, dtype=np.uint64)) for n in range(200)])
    assert grid.min() >= 0 and grid.max() < 1
    assert stats.kstest(grid.ravel(), "uniform").pvalue > 1e-3
    # neighbouring positions and neighbouring keys are uncorrelated: |r| < 4/sqrt(n)
    assert abs(np.corrcoef(grid[:-1].ravel(), grid[1:].ravel())[0, 1]) < 4 / 200
    assert abs(np.corrcoef(grid[:, :-1].ravel(), grid[:, 1:].ravel())[0, 1]) < 4 / 200
    single = uniforms(keys[7:8], np.array([3], dtype=np.uint64))
    assert single[0] == grid[3, 7]


def test_data_order_is_a_permutation_per_pass_and_needs_only_the_cursor() -> None:
    first = [permutation_index(5, i, 10) for i in range(10)]
    second = [permutation_index(5, 10 + i, 10) for i in range(10)]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert permutation_index(5, 13, 10) == second[3]


def test_one_key_is_that_of_an_array() -> None:
    parents, numbers = [0, 7, 2**64 - 1, 123456789012345678], [0, 1, 2**40 + 3, -5]
    table = subkeys(np.array(parents, dtype=np.uint64)[:, None], np.array(numbers, dtype=np.int64).astype(np.uint64))
    assert [[subkey(parent, number) for number in numbers] for parent in parents] == table.tolist()
    many = key_array((3, "luck"), np.array([5, 9]), np.array([2, -1]))
    assert [int(key_array((3, "luck"), np.array([a]), np.array([b]))[0]) for a, b in ((5, 2), (9, -1))] == many.tolist()


def test_a_stream_is_the_uniforms_of_its_key() -> None:
    for one in (0, 7, 2**64 - 1, key("luck")):
        for count in (1, 50):
            expected = uniforms(np.array([one], dtype=np.uint64), np.arange(count, dtype=np.uint64))
            assert stream(one, count).tolist() == expected.tolist()


def test_equal_parts_of_other_types_have_other_keys() -> None:
    """What was hashed before is remembered, and 1 == True."""
    ids = np.array([3])
    equal: list[Any] = [1, True, np.int64(1)]
    assert len({int(key_array((one,), ids)[0]) for one in equal}) == 3
