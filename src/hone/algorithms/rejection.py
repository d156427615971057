"""Rejection fine-tuning: keep the right answers, imitate them.

The baseline every policy gradient has to beat at equal tokens (RFT, one round of STaR or expert iteration): sample,
keep what the verifier accepts, minimise the negative log-likelihood of what was kept, several epochs if asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hone.algorithms.base import State, Stateless, Unit
from hone.core.batch import Batch, compact
from hone.core.terms import Credited, Term
from hone.models.score import Scores


@dataclass(frozen=True)
class Rejection(Stateless):
    """``L = −mean over tokens of accepted answers of log π(token)``.

    Attributes:
        threshold: an episode whose summed reward is at least this is accepted.
    """

    threshold: float = 1.0

    @property
    def needs(self) -> frozenset[str]:
        """Nothing but log-probabilities."""
        return frozenset()

    @property
    def unit(self) -> Unit:
        """Rows may be cut anywhere."""
        return "token"

    @property
    def group_baseline(self) -> bool:
        """Answers are judged alone."""
        return False

    def advantages(self, batch: Batch, state: State) -> Tensor:
        """[B,T] 1 on the train tokens of accepted episodes, else 0."""
        episode_B, count = compact(batch.episode)
        reward_E = torch.zeros(count, device=batch.reward.device).index_add(0, episode_B, batch.reward.sum(-1))
        accepted_B = (reward_E >= self.threshold - 1e-6)[episode_B]  # NaN (failed) compares false
        return (batch.train & accepted_B[:, None]).float()

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Negative log-likelihood of the accepted tokens."""
        return {"nll": Term(-batch.need("advantage") * scores.logprob, Credited())}
