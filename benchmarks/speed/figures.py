"""The arithmetic of the results: medians, spreads, and ratios pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

CLOCKS = {"wall": "seconds", "cpu": "cpu"}


@dataclass(frozen=True)
class Spread:
    """The median of some measurements, and the least and the largest of them."""

    middle: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(median(values), min(values), max(values))


def ratios(slow: Sequence[float], fast: Sequence[float]) -> Spread:
    """How many times as long ``slow`` took as ``fast`` beside it: of round i, ``slow[i] / fast[i]``.

    Rounds that only one of them made are left out.
    """
    return spread([s / f for s, f in zip(slow, fast, strict=False)])


def times(variant: Mapping[str, Any], clock: str) -> list[float]:
    """Seconds of every round, by the wall or by the processor."""
    return [sample[CLOCKS[clock]] for sample in variant.get("samples", [])]


def rates(variant: Mapping[str, Any], clock: str) -> list[float]:
    """Tokens per second of every round; [] where no tokens are told."""
    samples = variant.get("samples", [])
    if not all(sample.get("tokens") for sample in samples):
        return []
    return [sample["tokens"] / sample[CLOCKS[clock]] for sample in samples]


def costs(variant: Mapping[str, Any], clock: str, per_token: bool) -> list[float]:
    """Seconds of every round, or seconds per token."""
    return [1 / rate for rate in rates(variant, clock)] if per_token else times(variant, clock)


def peak(variant: Mapping[str, Any]) -> float:
    """Most MiB the process had in any round."""
    return max(float(sample["peak"]) for sample in variant["samples"])


def risen(variant: Mapping[str, Any]) -> float:
    """MiB above what it had when it was ready: libraries and weights do not count."""
    return peak(variant) - float(variant["ready"]["memory"])
