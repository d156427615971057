"""Splits by content: a hash of what an item says is its side, so the same content is never on both."""

from __future__ import annotations

from collections.abc import Iterator

from hone.core.errors import HoneError
from hone.core.seeding import generator, key

SPLITS = ("train", "test")


def side(content: str, test_fraction: float) -> str:
    """``"test"`` for about this fraction of all contents, else ``"train"``.

    The hash (BLAKE2b) is salted with a constant, not with a run's seed: another run has the same test set.
    Give equal texts to items that give each other away, such as ``3*4`` and ``4*3``.
    """
    return "test" if key("split", content) < test_fraction * 2**64 else "train"


def check_split(split: str) -> None:
    """Raise :class:`HoneError` unless ``split`` is one of the two."""
    if split not in SPLITS:
        raise HoneError("there is no such split", got=f'"{split}"', expected='"train" or "test"')


def operand_pairs(
    low: int, high: int, split: str, test_fraction: float, seed: int, name: str
) -> Iterator[tuple[int, int]]:
    """Random pairs of integers in [low, high] whose *unordered* pair lies in the split, for ever.

    The stream is a pure function of the arguments; commuted twins share a side.
    """
    rng = generator(seed, name, split)
    while True:
        for a, b in rng.integers(low, high + 1, size=(1024, 2)).tolist():
            if side(f"{min(a, b)} {max(a, b)}", test_fraction) == split:
                yield a, b
