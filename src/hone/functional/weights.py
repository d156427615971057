"""Weights of imitation: how much an answer is learnt, by how good it was."""

from __future__ import annotations

import math

from torch import Tensor

_OVERFLOW = 80.0
"""e^80 is finite in float32."""


def exponential_weight(advantage: Tensor, temperature: float, most: float | None = None) -> Tensor:
    """``min(exp(A / τ), most)``, elementwise (Peters & Schaal 2007; Peng et al. 2019, arXiv 1910.00177).

    It is the solution of "improve as much as possible, within a KL to those who answered": π* ∝ μ·exp(A/τ).

    Args:
        advantage: how much better than expected, or a reward.
        temperature: τ > 0; towards 0 the best alone is imitated, towards ∞ everybody.
        most: largest weight; none for e^80, which float32 still holds.
    """
    bound = _OVERFLOW if most is None else min(math.log(most), _OVERFLOW)
    return (advantage / temperature).clamp(max=bound).exp()
