"""Controllers of a KL penalty: they raise its weight while the policy is too far away, and lower it while too near."""

from __future__ import annotations

from typing import Literal

Controller = Literal["fixed", "adaptive", "doubling"]
"""How β changes from step to step."""


def adaptive_beta(beta: float, kl: float, target: float, episodes: float, horizon: float) -> float:
    """``β (1 + clip(KL/target − 1, ±0.2) · n/H)``, never below 0 (Ziegler et al. 2019, arXiv 1909.08593).

    Args:
        beta: the coefficient that was in force.
        kl: measured KL of an episode, in nats.
        target: what it should be.
        episodes: n, how many it was measured on.
        horizon: H; far from the target β changes by a factor of about ``e^0.2`` in H episodes.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return max(beta * (1 + error * episodes / horizon), 0.0)


def doubling_beta(beta: float, kl: float, target: float) -> float:
    """2β where KL > 1.5 · target, β/2 where KL < target / 1.5, else β (PPO, arXiv 1707.06347, section 4)."""
    if kl > 1.5 * target:
        return 2 * beta
    return beta / 2 if kl < target / 1.5 else beta
