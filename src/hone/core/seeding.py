"""Keyed randomness: every random number is a pure function of what it is for, so nothing depends on order.

A *key* is a 64-bit integer hashed from a tuple such as ``(seed, "sample", step, prompt, sample, turn)``.
The uniform for a key's n-th token is a hash of ``(key, n)``: no generator state exists, nothing needs saving,
and a request draws the same noise whatever else shares its batch.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def key(*parts: int | str) -> int:
    """Unsigned 64-bit key of a tuple of integers and strings (BLAKE2b over an unambiguous encoding)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(*parts: int | str) -> np.random.Generator:
    """A NumPy generator (Philox) whose whole stream is determined by ``parts``."""
    return np.random.Generator(np.random.Philox(key=key(*parts)))


def _mix(x: U64) -> U64:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): a bijection on 64 bits with full avalanche."""
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    return x ^ (x >> np.uint64(31))


def uniforms(keys: U64, positions: U64) -> NDArray[np.float64]:
    """One uniform in [0, 1) per (key, position) pair, with 53 random bits.

    Args:
        keys: [B] uint64, one per request.
        positions: [B] uint64, the index of the token being sampled in its completion.
    """
    bits = _mix(_mix(keys) ^ _mix(positions * _GOLDEN + _GOLDEN))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def stream(key: int | np.uint64, count: int) -> NDArray[np.float64]:
    """Numbers 0 to ``count`` − 1 of one key: what :func:`uniforms` gives for it, with less arithmetic."""
    bits = _mix(_places(count) ^ np.uint64(_mix_integer(int(key))))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


@cache
def _places(count: int) -> U64:
    """What positions 0 to ``count`` − 1 contribute to :func:`uniforms`."""
    return _mix(np.arange(count, dtype=np.uint64) * _GOLDEN + _GOLDEN)


def subkeys(parents: U64, ids: U64) -> U64:
    """Keys of the numbered children of keys, vectorised: distinct ids of one parent never share a key.

    Args:
        parents: uint64 keys, of a shape that broadcasts with ``ids``.
        ids: uint64 numbers (an episode, a sample).
    """
    return _mix(_mix(parents) ^ _mix(ids * _GOLDEN + _GOLDEN))


def subkey(parent: int, number: int) -> int:
    """The same for one key and one number (any integer, modulo 2⁶⁴) in plain integers: an array of one is slow."""
    golden = int(_GOLDEN)
    child = _mix_integer((number % 2**64 * golden + golden) % 2**64)
    return _mix_integer(_mix_integer(parent) ^ child)


def _mix_integer(x: int) -> int:
    x = (x ^ (x >> 30)) * int(_MIX1) % 2**64
    x = (x ^ (x >> 27)) * int(_MIX2) % 2**64
    return x ^ (x >> 31)


def permutation_index(seed: int, cursor: int, size: int, name: str = "order") -> int:
    """The item at position ``cursor`` of an endless stream of reshuffled passes over ``size`` items.

    Pass ``p`` is a permutation keyed by ``(seed, name, p)``, so a data cursor is one integer and resuming
    needs nothing else. Permutations are cached: walking a pass costs one shuffle.
    """
    epoch, offset = divmod(cursor, size)
    return int(_permutation(seed, epoch, size, name)[offset])


_cache: dict[tuple[int, int, int, str], NDArray[np.int64]] = {}


def _permutation(seed: int, epoch: int, size: int, name: str) -> NDArray[np.int64]:
    wanted = (seed, epoch, size, name)
    if wanted not in _cache:
        if len(_cache) > 8:
            _cache.clear()
        _cache[wanted] = generator(seed, name, epoch).permutation(size)
    return _cache[wanted]
