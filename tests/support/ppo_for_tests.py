"""PPO with a value head, written against the protocol: the nouns carry actor-critic methods too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hone.algorithms.base import State, Unit
from hone.core.batch import Batch
from hone.core.terms import Term, Tokens
from hone.functional.advantages import whiten
from hone.functional.episodes import Episodes
from hone.functional.losses import clipped_surrogate, clipped_value_loss, log_ratio
from hone.functional.returns import Clock, batch_gae
from hone.models.score import Scores


@dataclass(frozen=True)
class PPO:
    """Clipped surrogate on whitened GAE + ``c_v`` · clipped value loss (arXiv 1707.06347).

    Attributes:
        clip: ε of the ratio, both sides.
        value_clip: how far the value may move from its old one before its loss is the clipped one's.
        value_weight: c_v.
        discount: γ.
        trace: λ.
        clock: what one step of γ and λ is.
    """

    clip: float = 0.2
    value_clip: float = 0.2
    value_weight: float = 0.1
    discount: float = 1.0
    trace: float = 0.95
    clock: Clock = "token"

    # the batch has no column for value targets, so they are made again from the micro-batch: whole episodes
    unit: ClassVar[Unit] = "group"
    group_baseline: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"old_logprob", "value"})

    def init_state(self) -> State:
        return State()

    def update_state(self, state: State, metrics: Mapping[str, float]) -> State:
        return state

    def advantages(self, batch: Batch, state: State) -> Tensor:
        return whiten(self._credit(batch)[0], batch.train)

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        assert scores.value is not None
        ratio_BT = log_ratio(scores.logprob, batch.need("old_logprob"), batch.train).exp()
        policy_BT = clipped_surrogate(ratio_BT, batch.need("advantage"), self.clip, self.clip)
        value_BT = clipped_value_loss(scores.value, batch.need("value"), self._credit(batch)[1], self.value_clip)
        return {"policy": Term(policy_BT, Tokens()), "value": Term(value_BT, Tokens(), self.value_weight)}

    def _credit(self, batch: Batch) -> tuple[Tensor, Tensor]:
        episodes = Episodes.index(batch, batch.sampled)
        return batch_gae(
            episodes,
            batch.reward,
            batch.need("value"),
            batch.bootstrap,
            discount=self.discount,
            trace=self.trace,
            clock=self.clock,
        )
