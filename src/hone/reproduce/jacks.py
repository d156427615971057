"""Jack's car rental by policy iteration, with exact Poisson demand (Sutton and Barto, example 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hone.envs.worlds.jacks_car_rental import CAPACITY, MOST_MOVED, JacksCarRental
from hone.report.gridpictures import heatmap
from hone.reproduce.base import Check, Picture, Reproduction
from hone.tabular.outcomes import mdp_of
from hone.tabular.planning import policy_iteration

GAMMA = 0.9
CHANGES = (318, 272, 79, 8, 0)
VALUES = {(0, 0): 421.41, (10, 10): 574.95, (20, 20): 636.99}


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Exact; nothing here is random."""
    mdp = mdp_of(JacksCarRental())
    found = policy_iteration(mdp, GAMMA, initial=np.full(mdp.states, MOST_MOVED))
    size = CAPACITY + 1
    value, moved = found.value_S.reshape(size, size), found.policy_S.reshape(size, size) - MOST_MOVED
    checks = [
        *(
            Check(f"policy changes, improvement {i}", float(n), float(target), 0.0)
            for i, (n, target) in enumerate(zip(found.changes, CHANGES, strict=False), 1)
        ),
        Check("improvements", float(len(found.changes)), float(len(CHANGES)), 0.0),
        *(Check(f"V{cars}", float(value[cars]), target, 0.005) for cars, target in VALUES.items()),
        Check("fewest cars moved", float(moved.min()), -4.0, 0.0),
        Check("most cars moved", float(moved.max()), 5.0, 0.0),
    ]
    second, first = "cars at the second location", "cars at the first location"
    pictures = (
        Picture(
            "The optimal policy",
            heatmap(
                moved,
                title="Cars moved from first to second",
                signed=True,
                whole=True,
                x_label=second,
                y_label=first,
                size=(5.4, 5.2),
            ),
            "Negative: from the second to the first.",
        ),
        Picture(
            "Its value",
            heatmap(
                value,
                title="Expected discounted income",
                unit="value",
                x_label=second,
                y_label=first,
                size=(5.4, 4.6),
            ),
            "More cars are worth more, at a falling rate.",
        ),
    )
    return Reproduction(
        title="Jack's car rental",
        headline=f"Policy iteration is stable after {len(found.changes) - 1} updates; both lots full are "
        f"worth "
        f"{value[CAPACITY, CAPACITY]:.2f}, both empty {value[0, 0]:.2f}.",
        summary={
            "changes": list(found.changes),
            "values": {f"{a},{b}": float(value[a, b]) for a, b in VALUES},
            "policy": moved.tolist(),
            "residual": found.residual,
        },
        checks=checks,
        pictures=pictures,
        notes=(
            "Convention: Poisson demand is cut by the capacity only, and returned cars can be rented the "
            "next day. "
            "Cutting demand at 11 requests instead gives about 4 % smaller values, so published figures "
            "differ.",
            "Moves for which there are not enough cars are not allowed; the policy starts by moving none.",
        ),
    )
