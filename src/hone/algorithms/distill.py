"""Context distillation (Askell et al. 2021, arXiv 2112.00861): answer as if guidelines stood before the prompt.

The teacher is the same model, frozen, with the guidelines in its context; the student sees the prompt alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from hone.algorithms.base import Credit, State, Stateless, Unit
from hone.core.batch import Batch
from hone.core.terms import Term, Tokens
from hone.functional.distillation import top_kl
from hone.models.score import Scores


@dataclass(frozen=True)
class Distill(Stateless):
    """``KL(p₀(·|C, x, y_<t) ‖ π(·|x, y_<t))`` at every token of an answer, mean over all tokens.

    Attributes:
        top_k: how many of the teacher's likeliest tokens are told apart, the rest being one; 0 is the whole vocabulary,
            exactly.
    """

    top_k: int = 0

    unit: ClassVar[Unit] = "row"
    group_baseline: ClassVar[bool] = False
    labels: ClassVar[str] = "answers"

    def __post_init__(self) -> None:
        if self.top_k < 0:
            raise ValueError(f"top_k must not be negative, not {self.top_k}")

    @property
    def needs(self) -> frozenset[str]:
        """The teacher's distributions."""
        return frozenset({"teacher"})

    def advantages(self, batch: Batch, state: State) -> Credit:
        """Zeros; the teacher's rows (worth NaN) have done their duty and are in no loss."""
        student_B = batch.reward.sum(-1).isfinite()
        return Credit(torch.zeros_like(batch.reward), train=batch.train & student_B[:, None])

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Term "kl"; the teacher's most likely token as a metric, as the share at which the student agrees."""
        teacher_BTK, student_BTK = batch.need("teacher_logprob"), scores.need("teacher")
        kl_BT = top_kl(teacher_BTK, student_BTK, whole=self.top_k == 0)
        agrees_BT = teacher_BTK.argmax(-1) == student_BTK.argmax(-1)
        return {"kl": Term(kl_BT, Tokens()), "agreement": Term(agrees_BT.float(), Tokens(), 0.0)}
