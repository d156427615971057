"""What generated tasks share: distinct items from a stream, and corruption of answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from hone.core.errors import HoneError

T = TypeVar("T")


def distinct(stream: Iterator[T], count: int, identity: Callable[[T], Hashable]) -> list[T]:
    """The first ``count`` items of a random stream with distinct identities.

    Raises:
        HoneError: 20,000 draws in a row brought nothing new: there are not that many.
    """
    found: dict[Hashable, T] = {}
    idle = 0
    for item in stream:
        known = identity(item)
        idle = idle + 1 if known in found else 0
        found.setdefault(known, item)
        if len(found) == count:
            break
        if idle == 20_000:
            raise HoneError(
                "there are not that many distinct questions",
                got=f"{count} asked for, {len(found)} found",
                do="ask for fewer, or make the questions larger",
            )
    return list(found.values())


def one_digit_off(number: str, rng: np.random.Generator) -> str:
    """The number with one digit, at a random place, changed to another (the first never to 0)."""
    place = int(rng.integers(len(number)))
    others = [d for d in "0123456789" if d != number[place] and not (place == 0 and d == "0")]
    return number[:place] + others[int(rng.integers(len(others)))] + number[place + 1 :]


def pick(rng: np.random.Generator, shares: Sequence[float], count: int) -> list[int]:
    """``count`` independent indices with these probabilities."""
    picked: list[int] = rng.choice(len(shares), size=count, p=np.asarray(shares) / sum(shares)).tolist()
    return picked
