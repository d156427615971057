"""Supervised learning: the negative log-likelihood of the train tokens (pretraining, SFT, cloning)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hone.algorithms.base import State, Stateless, Unit
from hone.core.batch import Batch
from hone.core.terms import Term, Tokens
from hone.functional.losses import negative_log_likelihood
from hone.models.score import Scores


@dataclass(frozen=True)
class NLL(Stateless):
    """``−log π(token)``, mean over all train tokens of the optimiser batch. Rewards are not looked at."""

    unit: ClassVar[Unit] = "token"
    group_baseline: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[str]:
        """Nothing but the batch."""
        return frozenset()

    def advantages(self, batch: Batch, state: State) -> Tensor:
        """[B,T] zeros: the loss does not read them."""
        return torch.zeros_like(batch.reward)

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """One term, "nll"."""
        return {"nll": Term(negative_log_likelihood(scores.logprob), Tokens())}
