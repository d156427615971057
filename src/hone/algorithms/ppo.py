"""PPO: proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347), with the details of RLHF.

A critic predicts what an answer will earn; a token's advantage is how much better things went than predicted. Several
updates may be made on the same rollouts: the clip takes away the gradient of a token whose probability has moved far.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hone.algorithms._actor_critic import ActorCritic
from hone.algorithms.base import State
from hone.core.batch import Batch
from hone.core.terms import Term, Tokens
from hone.functional.kl import kl_estimate
from hone.functional.losses import clipped_surrogate, clipped_value_loss, is_clipped, log_ratio, ratio_of
from hone.models.score import Scores


@dataclass(frozen=True)
class PPO(ActorCritic):
    """``−min(ρA, clip(ρ)A) + c_v·½max((V − G)², (V_clip − G)²) − c_H·H``, mean over all tokens of the batch.

    Attributes:
        clip_low: ε below: a token with A < 0 gets no gradient once ρ < 1 − ε.
        clip_high: ε above: a token with A > 0 gets no gradient once ρ > 1 + ε.
        value_clip: how far a value may move from what it was before the updates while its loss still falls; 0: any
            distance.
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    value_clip: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.clip_low <= 1:
            raise ValueError(f"clip_low must lie between 0 and 1 (the ratio is never below 0), not {self.clip_low}")
        for name in ("clip_high", "value_clip"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Terms "policy", "value" and, if weighted, "policy_entropy"; those of coefficient 0 are metrics."""
        old_BT, advantage_BT = batch.need("old_logprob"), batch.need("advantage")
        apart_BT = log_ratio(scores.logprob, old_BT, batch.train)
        ratio_BT = ratio_of(apart_BT)
        clipped_BT = is_clipped(ratio_BT.detach(), advantage_BT, self.clip_low, self.clip_high)
        drift_BT = kl_estimate(-apart_BT.detach(), torch.zeros_like(apart_BT), "k3")
        surrogate_BT = clipped_surrogate(ratio_BT, advantage_BT, self.clip_low, self.clip_high)
        terms = {
            "policy": Term(surrogate_BT, Tokens()),
            "value": Term(self._value_loss(batch, scores), Tokens(), self.value_weight),
            "ratio": Term(ratio_BT.detach(), Tokens(), 0.0),
            "clip_fraction": Term(clipped_BT.float(), Tokens(), 0.0),
            "kl_update": Term(drift_BT, Tokens(), 0.0),
        }
        if scores.entropy is not None:
            terms["policy_entropy"] = Term(scores.entropy, Tokens(), -self.entropy_weight)
        return terms

    def _value_loss(self, batch: Batch, scores: Scores) -> Tensor:
        assert scores.value is not None
        clip = self.value_clip or float("inf")
        return clipped_value_loss(scores.value, batch.need("value"), batch.need("returns"), clip)
