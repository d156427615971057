"""The blocking maze: Dyna-Q+ finds the new way sooner (Sutton and Barto, example 8.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hone.envs.worlds.blocking_maze import BlockingMaze
from hone.reproduce._changing import Change
from hone.reproduce.base import Reproduction


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Thirty learners of each kind per seed, 3,000 steps."""
    change = Change("blocking", BlockingMaze(), steps=3_000, planning=10, bonus=1e-4)
    totals = {"Dyna-Q": change.rewards(0.0, seeds), "Dyna-Q+": change.rewards(change.bonus, seeds)}
    ends = {name: float(total[-1].mean()) for name, total in totals.items()}
    return Reproduction(
        title="Blocking maze",
        headline=f"When the way is blocked Dyna-Q+ recovers sooner: {ends['Dyna-Q+']:.0f} successes in "
        f"3,000 steps "
        f"against {ends['Dyna-Q']:.0f}.",
        summary={name: {"by 1000": float(t[999].mean()), "by 3000": float(t[-1].mean())} for name, t in totals.items()},
        checks=[
            *change.checks("Dyna-Q", totals["Dyna-Q"], (38.0, 70.0), (9.0, 18.0)),
            *change.checks("Dyna-Q+", totals["Dyna-Q+"], (59.0, 128.0), (5.0, 10.0)),
        ],
        pictures=change.pictures(totals),
        notes=(
            "The bonus makes actions attractive that were not tried for long, in the model as well as in "
            "the maze. In "
            "Dyna-Q+ untried actions are modelled as leading back to the state without reward.",
        ),
    )
