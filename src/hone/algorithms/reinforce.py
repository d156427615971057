"""REINFORCE with the batch's mean reward as the baseline (Williams 1992; REINFORCE++, arXiv 2501.03262).

No groups: an answer is compared with every other answer of the step, whatever its question, so one sample per
question will do. What the questions differ in stays in the advantage as noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hone.algorithms._policy_gradient import Clipped
from hone.core.terms import Fixed, Normaliser, Tokens
from hone.functional.advantages import group_zscore, leave_one_out
from hone.functional.kl import Estimator, Place


@dataclass(frozen=True)
class REINFORCE(Clipped):
    """``−min(ρA, clip(ρ)A)`` per token; on-policy its gradient is ``−A Σ_t ∇ log π``, mean over episodes.

    Attributes:
        advantage: "centred": the reward less the mean of all *other* episodes of the step, so that the gradient is
            unbiased; "zscore": less the mean of all and divided by their deviation + 1e-4 (REINFORCE++).
        normaliser: "episodes": sum over an episode's tokens, mean over episodes; "tokens": mean over all tokens.
    """

    kl: Estimator = "k1"
    kl_in: Place = "reward"
    advantage: Literal["centred", "zscore"] = "centred"
    normaliser: Literal["episodes", "tokens"] = "episodes"

    group_baseline: ClassVar[bool] = False

    def credit(self, reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
        """[E] against all episodes of the step."""
        against = leave_one_out if self.advantage == "centred" else group_zscore
        return against(reward_E, torch.zeros_like(group_E), valid_E)

    def denominator(self) -> Normaliser:
        """As ``normaliser`` says."""
        return Fixed(1) if self.normaliser == "episodes" else Tokens()
