"""KTO: Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv 2402.01306), on thumbs that are there.

A thumb up or down for a single answer suffices; nobody has to compare two. An answer's log-ratio to the reference is
judged against z, an estimate of the KL between policy and reference on answers that do not belong to their prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hone.algorithms.base import Credit, State, Stateless, Unit
from hone.core.batch import Batch
from hone.core.terms import Sequences, Term
from hone.functional.direct import kto_loss
from hone.functional.losses import log_ratio
from hone.models.score import Scores


@dataclass(frozen=True)
class KTO(Stateless):
    """``w (1 − σ(±β (h − z)))``, + for a thumb up, − for one down, ``h = Σ_t (log π − log π_ref)``; mean over answers.

    z is ``max(0, mean of h)`` over mismatched rows: the step's prompts with answers to other prompts. Those rows have
    no worth (NaN) and are in no loss.

    Attributes:
        beta: β.
        desirable: weight of answers with a thumb up.
        undesirable: weight of those with a thumb down; the paper wants (desirable · ups) / (undesirable · downs)
            between 1 and 4/3.
    """

    beta: float = 0.1
    desirable: float = 1.0
    undesirable: float = 1.0

    unit: ClassVar[Unit] = "row"
    group_baseline: ClassVar[bool] = False
    labels: ClassVar[str] = "thumbs"

    def __post_init__(self) -> None:
        if min(self.beta, self.desirable, self.undesirable) <= 0:
            raise ValueError("beta, desirable and undesirable must be positive")

    @property
    def needs(self) -> frozenset[str]:
        """The log-probs of the reference, and of the policy before the update."""
        return frozenset({"ref_logprob", "old_logprob"})

    def advantages(self, batch: Batch, state: State) -> Credit:
        """z on every token of the judged rows, which alone stay in the loss."""
        judged_B = batch.reward.sum(-1).isfinite()
        apart_BT = log_ratio(batch.need("old_logprob"), batch.need("ref_logprob"), batch.train)
        mismatched_N = apart_BT.sum(-1)[~judged_B]
        z = float(mismatched_N.mean().clamp(min=0)) if len(mismatched_N) else 0.0
        train_BT = batch.train & judged_B[:, None]
        return Credit(z * train_BT, train=train_BT, metrics={"kl_baseline": z})

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Term "thumbs"; the share of answers on the right side of z as a metric."""
        ratio_B = log_ratio(scores.logprob, batch.need("ref_logprob"), batch.train).sum(-1)
        z_B: Tensor = batch.need("advantage").amax(-1)  # one number on all train tokens of a row, never negative
        up_B = batch.reward.nansum(-1) > 0.5
        weight_B = torch.where(up_B, self.desirable, self.undesirable)
        loss_B = weight_B * kto_loss(ratio_B, up_B, z_B, self.beta)
        right_B = (ratio_B.detach() > z_B) == up_B
        shape = batch.tokens.shape
        return {
            "thumbs": Term(loss_B[:, None].expand(shape), Sequences()),
            "thumb_accuracy": Term(right_B.float()[:, None].expand(shape), Sequences(), 0.0),
        }
