"""Learning what people prefer: the Bradley-Terry loss over all pairs of answers to a prompt.

Christiano et al. (arXiv 1706.03741); all pairs of a ranking in one group: Ouyang et al. (arXiv 2203.02155); a margin:
Touvron et al. (arXiv 2307.09288); centring: Eisenstein et al. (arXiv 2312.09244).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hone.algorithms.base import RowScores, State, Unit
from hone.core.batch import Batch
from hone.core.terms import GroupPairs, Term
from hone.functional.preference import Pairs, centring, in_order, preference_loss
from hone.models.score import Scores


@dataclass(frozen=True)
class Preference(RowScores):
    """``−log σ(r_c − r_r − m) + λ (r_c + r_r)²``, mean over prompts of the mean over a prompt's pairs.

    K ranked answers are all C(K,2) pairs with weight 1/C(K,2), from one forward pass of each answer. A tie counts
    half each way.

    Attributes:
        margin: m per unit of difference: a comparison's answers differ by 1 (or by the margin the data gives), two
            ranks by the number of places between them, two ratings by their scores.
        centre: λ, pulls scores to mean 0 (TRL: 0.01); the loss of differences alone leaves their mean free.
    """

    margin: float = 0.0
    centre: float = 0.0

    unit: ClassVar[Unit] = "group"
    labels: ClassVar[str] = "pairs"

    def __post_init__(self) -> None:
        if self.margin < 0 or self.centre < 0:
            raise ValueError(f"margin and centre must not be negative ({self.margin}, {self.centre})")

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Terms "preference" and "centring"; the share of pairs in the right order and their gap as metrics."""
        score_B = scores.need("row_score")
        pairs = Pairs.of(batch.group, batch.reward.sum(-1))

        def term(value_P: Tensor, coefficient: float = 1.0) -> Term:
            return Term(pairs.share(value_P)[:, None].expand(batch.tokens.shape), GroupPairs(), coefficient)

        known = score_B.detach()
        terms = {
            "preference": term(preference_loss(pairs, score_B, self.margin)),
            "pair_accuracy": term(in_order(pairs, known), 0.0),
            "score_gap": term(pairs.difference(known), 0.0),
        }
        if self.centre:
            terms["centring"] = term(centring(pairs, score_B), self.centre)
        return terms
