"""RLFT's credit in plain Python: the return that follows a turn against the same turn of the group's episodes."""

from __future__ import annotations

import statistics

from random_batches import Episode
from slow_policy_gradient import KL


def slow_steps(
    specs: list[Episode], discount: float, baseline: str, beta: float = 0.0, kl: str = "k1"
) -> list[list[float]]:
    """Advantage of every action token, by episode, before any whitening; 0 in failed episodes."""
    togo: list[list[float]] = []
    for spec in specs:
        earned = []
        for turn in spec.turns:
            apart = sum(KL[kl](o - r) for o, r in zip(turn.old, turn.ref, strict=True))
            earned.append(turn.reward - beta * apart)
        togo.append([sum(discount ** (v - u) * earned[v] for v in range(u, len(earned))) for u in range(len(earned))])
    credit: list[list[float]] = []
    for i, spec in enumerate(specs):
        mine: list[float] = []
        for u, turn in enumerate(spec.turns):
            others = [
                togo[j][u]
                for j, other in enumerate(specs)
                if j != i and other.group == spec.group and not other.failed and u < len(other.turns)
            ]
            value = togo[i][u]
            if baseline != "none":
                spread = max([*others, value]) - min([*others, value])
                compared = others if baseline == "others" else [*others, value]
                value = value - statistics.fmean(compared) if others and spread > 1e-5 else 0.0
            mine += [0.0 if spec.failed else value] * len(turn)
        credit.append(mine)
    return credit
