"""GSPO: group sequence policy optimisation (Zheng et al. 2025, arXiv 2507.18071).

The reward judges the whole answer, so ratio and clip are the whole answer's too: the geometric mean of its tokens'
ratios, which stays near 1 whatever the length. An answer is in the update or clipped, never some of its tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hone.algorithms._policy_gradient import Clipped
from hone.core.terms import Normaliser, Sequences
from hone.functional.advantages import group_zscore
from hone.functional.losses import Level


@dataclass(frozen=True)
class GSPO(Clipped):
    """``−min(sA, clip(s)A)`` per episode, ``s = (π/π_old)^(1/|o|)``, A the group's z-score.

    The clip is the paper's, three orders of magnitude narrower than GRPO's, as s moves that much less. The paper's
    GSPO-token has the same value and gradient as long as an episode's tokens share one advantage, as they do here.
    """

    clip_low: float = 3e-4
    clip_high: float = 4e-4

    level: ClassVar[Level] = "sequence_mean"

    def credit(self, reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
        """[E] z-score within the group."""
        return group_zscore(reward_E, group_E, valid_E)

    def denominator(self) -> Normaliser:
        """The episode's loss stands on each of its tokens, so their mean is it."""
        return Sequences()
