"""How long it pays to look for a better arm, if every arm shows at once what it is worth.

A bandit without noise whose means are uniform on [0, 1] is a search with recall: with m the best mean seen, j arms
untried and h pulls left, staying pays ``m·h`` and trying another arm ``X + V(max(m, X), j − 1, h − 1)``, so

    V(m, j, h) = max(m·h, E[X + V(max(m, X), j − 1, h − 1)]),    V(m, 0, h) = m·h.

Once staying is better it stays better, as m is as large and h is smaller. With one arm left and h pulls the border is
the m of ``h·m = ½ + (h − 1)(1 + m²)/2``: 0.75 for h = 9.

Dimensions: M values of m, K arms.
"""

from __future__ import annotations

import numpy as np

from hone.tabular.bandits.base import Floats
from hone.tabular.bandits.tallies import Mind, Tally, evenly

_GRID = 400


def borders(arms: int, horizon: int) -> Floats:
    """[K, T+1] the largest best mean at which another arm is tried, with j arms untried and h pulls left.

    0 where there is no arm or no pull.
    """
    middle_M = (np.arange(_GRID) + 0.5) / _GRID
    larger_MM = np.maximum.outer(np.arange(_GRID), np.arange(_GRID))
    border = np.zeros((arms, horizon + 1))
    value = [middle_M * h for h in range(horizon + 1)]
    for untried in range(1, arms):
        fewer, value = value, [np.zeros(_GRID)]
        for left in range(1, horizon + 1):
            stay_M, look_M = middle_M * left, (middle_M + fewer[left - 1][larger_MM]).mean(axis=1)
            border[untried, left] = (look_M > stay_M).sum() / _GRID
            value.append(np.maximum(stay_M, look_M))
    return border


def search(arms: int, horizon: int) -> Mind:
    """Any untried arm while the best mean seen is below the border, else the arm of best mean."""
    border = borders(arms, horizon)

    def mind(seen: Tally) -> Floats:
        untried, pulls = (~seen.tried).sum(axis=-1), seen.count.sum(axis=-1).astype(int)
        mean = np.where(seen.tried, np.nan_to_num(seen.mean), -np.inf)
        top = mean.max(axis=-1)
        known = np.minimum(untried, arms - 1), np.clip(horizon - pulls, 0, horizon)
        looks = (untried == arms) | ((untried > 0) & (top < border[known]))
        return evenly(np.where(looks[..., None], ~seen.tried, mean == top[..., None]))

    return mind
