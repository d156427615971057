"""Learning from thumbs: the logistic loss of single answers that people liked or did not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hone.algorithms.base import RowScores, State, Unit
from hone.core.batch import Batch
from hone.core.terms import Sequences, Term
from hone.functional.preference import logistic_loss
from hone.models.score import Scores


@dataclass(frozen=True)
class Thumbs(RowScores):
    """``−t log σ(r) − (1 − t) log σ(−r)``, mean over answers; t is 1 for a thumb up and 0 for one down.

    Unlike pairs it fixes the zero of the score: σ(r) is the probability of a thumb up.
    """

    unit: ClassVar[Unit] = "row"
    labels: ClassVar[str] = "thumbs"

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Term "thumbs"; the share of answers on the right side of 0 as a metric."""
        score_B, thumb_B = scores.need("row_score"), batch.reward.sum(-1)
        shape = batch.tokens.shape
        right_B = ((score_B.detach() > 0) == (thumb_B > 0.5)).float()
        return {
            "thumbs": Term(logistic_loss(score_B, thumb_B)[:, None].expand(shape), Sequences()),
            "thumb_accuracy": Term(right_B[:, None].expand(shape), Sequences(), 0.0),
        }
