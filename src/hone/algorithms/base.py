"""The protocol of an algorithm: a frozen dataclass that says what deserves credit and what the loss is.

It knows nothing of engines, environments, layouts or optimisers, and it never divides: a
:class:`~hone.core.terms.Term` names its normaliser and the loop does the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from hone.core.batch import Batch
from hone.core.terms import Term
from hone.models.score import Scores

Unit = Literal["token", "row", "group"]
"""What a micro-batch may not split."""


@dataclass(frozen=True)
class State:
    """What an algorithm carries from step to step (plain numbers; checkpointed as JSON). Empty by default."""


class Algorithm(Protocol):
    """Credit and loss.

    Attributes:
        needs: columns the loop has to compute: "old_logprob", "ref_logprob", "value", "entropy".
        unit: what a micro-batch may not split.
        group_baseline: advantages compare the samples of one question, so groups of one are refused.
    """

    @property
    def needs(self) -> frozenset[str]:
        """Columns the loop has to compute before :meth:`advantages` and in the forward pass of :meth:`loss`."""

    @property
    def unit(self) -> Unit:
        """What a micro-batch may not split."""

    @property
    def group_baseline(self) -> bool:
        """Whether a group of one sample has no baseline."""

    def init_state(self) -> State:
        """State before the first step."""

    def update_state(self, state: State, metrics: Mapping[str, float]) -> State:
        """State after a step with these metrics."""

    def advantages(self, batch: Batch, state: State) -> Tensor:
        """[B,T] advantage of every train token, no gradient. Sees whole episodes and groups."""

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Named terms from the learner's fresh ``scores`` of (a micro-batch of) the batch."""


class Stateless:
    """What an algorithm that carries nothing from step to step inherits."""

    def init_state(self) -> State:
        """An empty state."""
        return State()

    def update_state(self, state: State, metrics: Mapping[str, float]) -> State:
        """The same state."""
        return state
