"""Parallel streams of keyed uniforms: what vectorised environments and agents draw from, a step at a time.

The n-th number of a stream is a pure function of its key and n (:func:`hone.core.seeding.uniforms`), so what
happens to one of N parallel runs does not depend on which other runs stand beside it, nor on their order.

Dimensions: N streams, W numbers per stream and step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray

from hone.core.seeding import U64, key, subkey, subkeys, uniforms

Floats = NDArray[np.float64]

_BLOCK_NUMBERS = 1 << 16
"""Numbers drawn at once: 512 kB, small enough for the second-level cache, large enough to hide call
costs."""


_root = lru_cache(maxsize=1024, typed=True)(key)
"""The parts of a key are hashed once; ``typed``, since 1 and True are equal and their keys are not."""


def key_array(parts: tuple[int | str, ...], *ids: Sequence[int] | NDArray[np.int64]) -> U64:
    """One key per row of one or several columns of ids: [N] uint64.

    ``parts`` are hashed once (:func:`hone.core.seeding.key`) and the columns mixed in one after the other,
    so that a hundred thousand keys cost milliseconds.
    """
    if len(ids[0]) == 1:
        return np.array([reduce(subkey, (int(column[0]) for column in ids), _root(*parts))], dtype=np.uint64)
    keys_N = np.full(len(ids[0]), _root(*parts), dtype=np.uint64)
    for column in ids:
        keys_N = subkeys(keys_N, np.asarray(column, dtype=np.int64).astype(np.uint64))
    return keys_N


class Streams:
    """N independent streams of uniforms on [0, 1), read by step number.

    Args:
        keys_N: one key per stream.
        width: numbers per stream and step.
        transform: elementwise function applied to each block of uniforms when it is drawn (an inverse
            distribution function, say), so that its cost is paid in large arrays.
        block: steps drawn at once; by default as many as make a few hundred kilobytes.
    """

    def __init__(
        self,
        keys_N: U64,
        *,
        width: int = 1,
        transform: Callable[[Floats], Floats] | None = None,
        block: int | None = None,
    ) -> None:
        self._keys_N = keys_N
        self._width = width
        self._transform = transform
        self._steps = block or max(1, min(1024, _BLOCK_NUMBERS // max(1, len(keys_N) * width)))
        self._first = -1
        self._block: Floats = np.empty((0, width, len(keys_N)))

    def at(self, step: int) -> Floats:
        """The numbers of one step: [N], or [W, N] where the width is above 1. A view; do not write to it."""
        offset = step - self._first
        if self._first < 0 or not 0 <= offset < self._steps:
            self._draw(step)
            offset = 0
        step_WN: Floats = self._block[offset]
        row: Floats = step_WN[0]
        return row if self._width == 1 else step_WN

    def _draw(self, step: int) -> None:
        """Fill the block of steps that begins at ``step``."""
        numbers = np.arange(step * self._width, (step + self._steps) * self._width, dtype=np.uint64)
        block = uniforms(self._keys_N[None, :], numbers[:, None])
        block = block if self._transform is None else self._transform(block)
        self._block = block.reshape(self._steps, self._width, len(self._keys_N))
        self._first = step
