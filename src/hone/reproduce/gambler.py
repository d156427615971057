"""The gambler's problem: probability of reaching 100 from every capital, for three coins.

Sutton and Barto, example 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hone.envs.worlds.gambler import Gambler
from hone.report.charts import Series, curve
from hone.reproduce.base import Check, Picture, Reproduction
from hone.tabular.mdp import MDP
from hone.tabular.outcomes import mdp_of
from hone.tabular.planning import value_iteration

COINS = (0.25, 0.4, 0.55)
TARGETS = {
    0.25: {25: 0.0625, 50: 0.25, 75: 0.4375},
    0.4: {1: 0.00207, 25: 0.16, 50: 0.4, 75: 0.64, 99: 0.96433},
    0.55: {1: 0.18182},
}
SHOWN_SWEEPS = (1, 2, 3, 32)


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Exact values; nothing here is random."""
    models = {heads: mdp_of(Gambler(heads)) for heads in COINS}
    values = {heads: value_iteration(mdp, 1.0).value_S for heads, mdp in models.items()}
    checks = [
        Check(
            f"V({capital}) with heads {heads:g}",
            float(values[heads][capital]),
            target,
            1e-4 if target > 0.01 else 1e-5,
        )
        for heads, targets in TARGETS.items()
        for capital, target in targets.items()
    ]
    capital = np.arange(101)
    ratio = (1 - 0.55) / 0.55
    timid = (1 - ratio**capital) / (1 - ratio**100)
    wins = np.where(capital == 100, 1.0, values[0.55])
    distance = float(np.abs(wins - timid).max())
    checks.append(Check("largest distance from timid play's closed form, heads 0.55", distance, 0.0, 1e-4))
    inside = list(range(1, 100))
    sweeps = _sweeps()
    pictures = (
        Picture(
            "Value by capital",
            curve(
                [Series(f"heads {h:g}", inside, values[h][1:100].tolist()) for h in COINS],
                title="Probability of winning",
                x_label="capital",
                size=(6.4, 3.2),
            ),
            "With an unfair coin the value jumps where one bold bet decides; with a favourable one it is smooth.",
        ),
        Picture(
            "Value iteration at work",
            curve(
                [Series(f"sweep {k}", inside, sweeps[k][1:100].tolist()) for k in SHOWN_SWEEPS],
                title="Estimates after some sweeps, heads 0.4",
                x_label="capital",
                size=(6.4, 3.2),
            ),
            "Synchronous sweeps from 0: information travels one bet a sweep.",
        ),
        Picture(
            "Bold play",
            curve(
                [Series("stake", inside, _smallest_stake(models[0.4], values[0.4])[1:100].tolist())],
                title="Smallest optimal stake, heads 0.4",
                x_label="capital",
                size=(6.4, 2.8),
            ),
            "Many stakes tie; the smallest of them gives the well-known spikes.",
        ),
    )
    return Reproduction(
        title="The gambler's problem",
        headline=f"With heads 0.4 a capital of 50 wins with probability {values[0.4][50]:.4f}; staking "
        f"everything "
        "at 50 is optimal.",
        summary={f"heads {h:g}": {str(c): float(values[h][c]) for c in (1, 25, 50, 75, 99)} for h in COINS},
        checks=checks,
        pictures=pictures,
        notes=(
            "Undiscounted, so only policies that end have a value; a stake of 0 is not offered. With a "
            "favourable "
            "coin the smallest stakes are best (timid play) and the value has a closed form.",
        ),
    )


def _sweeps() -> dict[int, NDArray[np.float64]]:
    """Values after some synchronous sweeps from 0."""
    mdp = mdp_of(Gambler(0.4))
    value_S, found = np.zeros(mdp.states), {}
    for sweep in range(1, max(SHOWN_SWEEPS) + 1):
        value_S = mdp.backup(value_S, 1.0).max(axis=0)
        if sweep in SHOWN_SWEEPS:
            found[sweep] = value_S
    return found


def _smallest_stake(mdp: MDP, value_S: NDArray[np.float64]) -> NDArray[np.int64]:
    """[101] the smallest stake within 1e-9 of the best."""
    q_SA = mdp.q_values(value_S, 1.0)
    stake: NDArray[np.int64] = (q_SA >= q_SA.max(axis=1, keepdims=True) - 1e-9).argmax(axis=1) + 1
    return stake
