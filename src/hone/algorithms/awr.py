"""AWR: advantage-weighted regression (Peng et al. 2019, arXiv 1910.00177): RWR against a learned value."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hone.algorithms._weighted import Weighted
from hone.algorithms.base import Credit, State
from hone.core.batch import Batch
from hone.core.terms import Sequences, Term
from hone.functional.episodes import Episodes
from hone.functional.returns import batch_gae
from hone.functional.weights import exponential_weight
from hone.models.score import Scores


@dataclass(frozen=True)
class AWR(Weighted):
    """``1/B Σ_b [exp((G_b − V_b) / τ) · NLL_b + c_v · ½(V − G_b)²]``, V_b the value before the answer's first token.

    Attributes:
        discount: γ between the turns of an episode: G is an answer's reward and γ times what follows; 0 is RISE's
            attempt, worth its own reward.
        value_weight: c_v, weight of the value loss (at every token of the answer).
    """

    discount: float = 1.0
    value_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.discount <= 1 or self.value_weight < 0:
            raise ValueError("discount must lie between 0 and 1, value_weight must not be negative")

    @property
    def needs(self) -> frozenset[str]:
        """Values."""
        return frozenset({"value"})

    def advantages(self, batch: Batch, state: State) -> Credit:
        """The weight on train tokens; ``returns`` is G."""
        gain_BT, return_BT = batch_gae(
            Episodes.index(batch, batch.train),
            batch.reward,
            batch.need("value"),
            batch.bootstrap,
            discount=self.discount,
            trace=1.0,
            clock="turn",
        )
        weight_BT = torch.where(batch.train, exponential_weight(gain_BT, self.temperature, self.most), 0.0)
        return Credit(weight_BT, return_BT)

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """The weighted likelihood's terms and "value"."""
        error_BT = 0.5 * (scores.need("value") - batch.need("returns")).square()
        return super().loss(batch, scores, state) | {"value": Term(error_BT, Sequences(), self.value_weight)}
