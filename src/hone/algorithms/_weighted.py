"""What RWR and AWR share: every answer is imitated, with a weight that grows with how good it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from hone.algorithms.base import State, Stateless, Unit
from hone.core.batch import Batch
from hone.core.terms import Sequences, Term
from hone.functional.losses import negative_log_likelihood
from hone.models.score import Scores


@dataclass(frozen=True)
class Weighted(Stateless):
    """``1/B Σ_b w_b · (mean over the answer's tokens of −log π)``: a token mean, not a sum; weights are not normalised.

    Logged answers are an episode each. Online b is an episode: one token mean over all its answers, each token with the
    weight of its own.

    Attributes:
        temperature: τ of the weight ``exp(A / τ)``; lower imitates the better ones more exclusively.
        most: largest weight; none for no limit.
    """

    temperature: float = 0.4
    most: float | None = None

    unit: ClassVar[Unit] = "token"
    group_baseline: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, not {self.temperature}")
        if self.most is not None and self.most <= 0:
            raise ValueError(f"most must be positive, not {self.most}")

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Terms "weighted_nll" and, as metrics, "nll" and "weight"."""
        weight_BT, nll_BT = batch.need("advantage"), negative_log_likelihood(scores.logprob)
        return {
            "weighted_nll": Term(weight_BT * nll_BT, Sequences()),
            "nll": Term(nll_BT.detach(), Sequences(), 0.0),
            "weight": Term(torch.where(batch.train, weight_BT, 0.0), Sequences(), 0.0),
        }
