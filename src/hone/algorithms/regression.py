"""Learning ratings: least squares on a number per answer.

The numbers are people's scores, or strengths computed from their comparisons
(:func:`hone.functional.scalar_reward.scalar_rewards`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hone.algorithms.base import RowScores, State, Unit
from hone.core.batch import Batch
from hone.core.terms import Sequences, Term
from hone.functional.preference import group_centred_values
from hone.models.score import Scores


@dataclass(frozen=True)
class Regression(RowScores):
    """``(r − y)²``, mean over answers.

    Attributes:
        per_prompt: compare both less their mean over the prompt's answers: where the numbers come from comparisons
            within a prompt, its level was never asked for.
    """

    per_prompt: bool = False

    unit: ClassVar[Unit] = "group"
    labels: ClassVar[str] = "scores"

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Term "squared_error"."""
        error_B = scores.need("row_score") - batch.reward.sum(-1)
        if self.per_prompt:
            error_B = group_centred_values(error_B, batch.group)
        return {"squared_error": Term(error_B.square()[:, None].expand(batch.tokens.shape), Sequences())}
