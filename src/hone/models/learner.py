"""What an optimiser step moves: a policy, or a model that scores answers. The loops know no more of it than this."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from hone.core.batch import Batch
from hone.models.config import Layout
from hone.models.score import Scores


class Learner(Protocol):
    """A model with parameters to train.

    Attributes:
        pad_id: filler of padded rows.
        device: where its batches go.
        max_length: most positions of a row.
    """

    pad_id: int

    @property
    def device(self) -> torch.device:
        """Where its batches go."""

    @property
    def max_length(self) -> int:
        """Most positions of a row."""

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters that are trained, in an order that does not change."""

    def score(
        self,
        batch: Batch,
        *,
        needs: frozenset[str] = frozenset(),
        temperature: float = 1.0,
        layout: Layout = "auto",
    ) -> Scores:
        """The learner's view of a batch, with gradient; ``needs`` as an algorithm names them."""

    def skips_padding(self, layout: Layout) -> bool:
        """Whether padding, and what rows begin with in common, cost nothing in that layout."""

    def save(self, path: str | Path) -> None:
        """Write a directory that :meth:`restore` reads."""

    def restore(self, folder: Path) -> None:
        """Copy the trained parameters saved in a directory into this object, bit for bit."""


def copy_parameters(source: Learner, target: Learner) -> None:
    """Copy what is trained from one learner into another of the same kind."""
    weights = dict(source.trainable())
    with torch.no_grad():
        for name, parameter in target.trainable():
            parameter.copy_(weights[name])
