"""CISPO: clipped importance-sampling weights (MiniMax-M1, arXiv 2506.13585).

PPO's clip takes a token out of the gradient once its ratio has moved too far, first of all the rare ones that an
update raises most. Here the ratio is only a weight, and it is the weight that is clipped: every token stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hone.algorithms._policy_gradient import PolicyGradient
from hone.core.terms import Normaliser, Tokens
from hone.functional.advantages import group_zscore
from hone.functional.losses import weighted_logprob


@dataclass(frozen=True)
class CISPO(PolicyGradient):
    """``−clip(ρ, 1 − ε_low, 1 + ε_high) · A · log π``, the weight without gradient, mean over all tokens.

    A is the group's z-score. The defaults are no lower bound, as in the paper, and an upper one of 5 (ScaleRL, arXiv
    2510.13786; the paper gives no number).
    """

    clip_low: float = 1.0
    clip_high: float = 4.0

    def credit(self, reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
        """[E] z-score within the group."""
        return group_zscore(reward_E, group_E, valid_E)

    def denominator(self) -> Normaliser:
        """``1/Σ_i|o_i|``."""
        return Tokens()

    def surrogate(self, ratio_BT: Tensor, advantage_BT: Tensor, logprob_BT: Tensor) -> Tensor:
        """Log-probs weighted by the clipped ratio."""
        return weighted_logprob(logprob_BT, ratio_BT, advantage_BT, self.clip_low, self.clip_high)

    def clipped(self, ratio_BT: Tensor, advantage_BT: Tensor) -> Tensor:
        """Where the weight is one of the bounds."""
        return ((ratio_BT < 1 - self.clip_low) | (ratio_BT > 1 + self.clip_high)) & (advantage_BT != 0)
