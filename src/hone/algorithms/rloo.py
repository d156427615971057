"""RLOO: REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740).

The whole answer is one action: its log-probability is the sum over its tokens, its baseline the mean reward
of the other answers to the same question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hone.algorithms._policy_gradient import Clipped
from hone.core.terms import Normaliser, Sequences
from hone.functional.advantages import leave_one_out
from hone.functional.kl import Estimator, Place
from hone.functional.losses import Level


@dataclass(frozen=True)
class RLOO(Clipped):
    """``−min(ρA, clip(ρ)A)`` per episode, ``ρ = exp Σ_t (log π − log π_old)``, A the leave-one-out advantage.

    Exactly on-policy ρ is 1 and the gradient is the paper's ``−A Σ_t ∇ log π``; the clip (PPO's, per
    sequence, as in TRL) only matters from the second update on the same rollouts on. β is 0 here and 0.05 in TRL.
    """

    kl: Estimator = "k1"
    kl_in: Place = "reward"

    level: ClassVar[Level] = "sequence"

    def credit(self, reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
        """[E] against the mean of the other answers."""
        return leave_one_out(reward_E, group_E, valid_E)

    def denominator(self) -> Normaliser:
        """The episode's loss stands on each of its tokens, so their mean is it."""
        return Sequences()
