"""The shortcut maze: only an agent that doubts its model finds what has become better.

Sutton and Barto, example 8.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hone.envs.worlds.shortcut_maze import ShortcutMaze
from hone.reproduce._changing import Change
from hone.reproduce.base import Check, Reproduction

RATES = {"Dyna-Q": (5.58, 0.35), "Dyna-Q+": (8.18, 0.35)}
"""Successes per 100 steps in the last 1,000, and the tolerance."""


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Thirty learners of each kind per seed, 6,000 steps."""
    change = Change("shortcut", ShortcutMaze(), steps=6_000, planning=20, bonus=1e-3)
    totals = {"Dyna-Q": change.rewards(0.0, seeds), "Dyna-Q+": change.rewards(change.bonus, seeds)}
    rates = {name: float((total[-1] - total[-1001]).mean() / 10) for name, total in totals.items()}
    return Reproduction(
        title="Shortcut maze",
        headline=f"Dyna-Q+ finds the shortcut and ends at {rates['Dyna-Q+']:.2f} successes per 100 steps; "
        f"Dyna-Q stays "
        f"at {rates['Dyna-Q']:.2f}.",
        summary={
            name: {
                "by 3000": float(t[2999].mean()),
                "by 6000": float(t[-1].mean()),
                "per 100 at the end": rates[name],
            }
            for name, t in totals.items()
        },
        checks=[
            *change.checks("Dyna-Q", totals["Dyna-Q"], (116.5, 281.7), (15.0, 20.0)),
            *change.checks("Dyna-Q+", totals["Dyna-Q+"], (132.3, 352.8), (10.0, 15.0)),
            *(Check(f"{name}, per 100 steps at the end", rates[name], *target) for name, target in RATES.items()),
        ],
        pictures=change.pictures(totals),
        notes=("Dyna-Q's model never hears of the shortcut: random actions alone do not get it there and back.",),
    )
