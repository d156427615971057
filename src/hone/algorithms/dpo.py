"""DPO: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290), on comparisons that are there.

No reward model and no sampling: the loss of a reward model is written in terms of the policy it would lead to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hone.algorithms.base import State, Stateless, Unit
from hone.core.batch import Batch
from hone.core.terms import GroupPairs, Term
from hone.functional.direct import dpo_loss, ipo_loss
from hone.functional.losses import log_ratio
from hone.functional.preference import Pairs, in_order
from hone.models.score import Scores


@dataclass(frozen=True)
class DPO(Stateless):
    """``−log σ(β (h_chosen − h_rejected))``, ``h = Σ_t (log π − log π_ref)``; mean over prompts of the mean over pairs.

    K ranked answers are all C(K,2) pairs. A tie counts half each way.

    Attributes:
        beta: β; the smaller, the further the policy may move.
        loss_type: "sigmoid" (the paper), or "ipo", a square loss of the log-ratios per token.
        label_smoothing: chance that a label is wrong (conservative DPO).
    """

    beta: float = 0.1
    loss_type: Literal["sigmoid", "ipo"] = "sigmoid"
    label_smoothing: float = 0.0

    unit: ClassVar[Unit] = "group"
    group_baseline: ClassVar[bool] = False
    labels: ClassVar[str] = "pairs"

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ValueError(f"beta must be positive, not {self.beta}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must be at least 0 and below 0.5, not {self.label_smoothing}")
        if self.label_smoothing and self.loss_type != "sigmoid":
            raise ValueError('label_smoothing has no effect unless loss_type is "sigmoid"')

    @property
    def needs(self) -> frozenset[str]:
        """The reference's log-probs."""
        return frozenset({"ref_logprob"})

    def advantages(self, batch: Batch, state: State) -> Tensor:
        """[B,T] zeros: no token deserves credit."""
        return torch.zeros_like(batch.reward)

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Term "preference"; the share of pairs in order, their gap and the log-ratio as metrics."""
        ratio_B = log_ratio(scores.logprob, batch.need("ref_logprob"), batch.train).sum(-1)
        pairs = Pairs.of(batch.group, batch.reward.sum(-1))
        tied_P = pairs.gap_P == 0
        if self.loss_type == "ipo":
            length_B = batch.train.sum(-1).clamp(min=1)
            loss_P = ipo_loss(pairs.difference(ratio_B / length_B), self.beta, tied_P)
        else:
            loss_P = dpo_loss(pairs.difference(ratio_B), self.beta, torch.where(tied_P, 0.5, self.label_smoothing))
        known_B = ratio_B.detach()

        def term(value_P: Tensor, coefficient: float = 0.0) -> Term:
            return Term(pairs.share(value_P)[:, None].expand(batch.tokens.shape), GroupPairs(), coefficient)

        return {
            "preference": term(loss_P, 1.0),
            "pair_accuracy": term(in_order(pairs, known_B)),
            "reward_gap": term(self.beta * pairs.difference(known_B)),
            "reward_chosen": term(self.beta * known_B[pairs.better_P]),
        }
