"""DAPO: decoupled clip and dynamic sampling (Yu et al. 2025, arXiv 2503.14476).

GRPO with a wider clip above than below, every token of the batch of equal weight, and no KL. The parts of DAPO that
decide what is rolled out and learnt from belong to the batch: ``resample``, ``truncated`` and ``overlong`` of
:class:`hone.training.recipe.BatchConfig`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hone.algorithms._policy_gradient import Clipped
from hone.core.terms import Normaliser, Tokens
from hone.functional.advantages import group_zscore


@dataclass(frozen=True)
class DAPO(Clipped):
    """``−min(ρA, clip(ρ, 0.8, 1.28)A)``, mean over all tokens of the batch, A the group's z-score."""

    clip_high: float = 0.28

    def credit(self, reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
        """[E] z-score within the group."""
        return group_zscore(reward_E, group_E, valid_E)

    def denominator(self) -> Normaliser:
        """``1/Σ_i|o_i|``."""
        return Tokens()
