"""The protocol of an algorithm: a frozen dataclass that says what deserves credit and what the loss is.

It knows nothing of engines, environments, layouts or optimisers, and it never divides: a
:class:`~hone.core.terms.Term` names its normaliser and the loop does the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from hone.core.batch import Batch
from hone.core.terms import Term
from hone.models.score import Scores

Unit = Literal["token", "row", "group"]
"""What a micro-batch may not split."""


@dataclass(frozen=True)
class State:
    """What an algorithm carries from step to step (plain numbers; checkpointed as JSON). Empty by default."""


@dataclass(frozen=True)
class Credit:
    """What an algorithm makes of a step's batch before it learns, where that is more than advantages.

    Attributes:
        advantage: [B,T] advantage of every train token.
        returns: [B,T] what the value of the state before each token is to become.
        train: [B,T] bool, instead of the batch's own: rows that served the credit alone are in no loss.
        metrics: numbers of the step; ``update_state`` sees them.
    """

    advantage: Tensor
    returns: Tensor | None = None
    train: Tensor | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


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

    def advantages(self, batch: Batch, state: State) -> Tensor | Credit:
        """[B,T] advantage of every train token, no gradient; with a critic its targets too. Sees whole episodes."""

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Named terms from the learner's fresh ``scores`` of (a micro-batch of) the batch."""


def credited(algorithm: Algorithm, batch: Batch, state: State) -> tuple[Batch, Mapping[str, float]]:
    """The batch with the columns that :meth:`Algorithm.advantages` gives, and its metrics.

    Called once on a step's whole batch, before it is cut into minibatches and micro-batches.
    """
    found = algorithm.advantages(batch, state)
    if isinstance(found, Tensor):
        return batch.with_(advantage=found), {}
    batch = batch.with_(advantage=found.advantage, returns=found.returns)
    if found.train is not None:
        batch = batch.with_(train=found.train).rows(found.train.any(-1))
    return batch, found.metrics


class Stateless:
    """What an algorithm that carries nothing from step to step inherits."""

    def init_state(self) -> State:
        """An empty state."""
        return State()

    def update_state(self, state: State, metrics: Mapping[str, float]) -> State:
        """The same state."""
        return state


class RowScores(Stateless):
    """What an algorithm that reads one score per row inherits: it trains a reward model, on examples that are there.

    Its subclasses say which ``labels`` of people they learn from: "pairs", "thumbs" or "scores".
    """

    group_baseline: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[str]:
        """A score per row."""
        return frozenset({"row_score"})

    def advantages(self, batch: Batch, state: State) -> Tensor:
        """[B,T] zeros: no token deserves credit."""
        return torch.zeros_like(batch.reward)
