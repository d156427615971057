"""Scores of a whole batch without gradient, in forward passes of the same size as the learner's."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch
from torch import Tensor

from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.models.config import Layout
from hone.models.policy import Policy, Reference, load
from hone.models.score import Scores
from hone.training.micro import micro_batches
from hone.training.recipe import Recipe


class Scorer(Protocol):
    """A policy, or its reference."""

    def score(
        self,
        batch: Batch,
        *,
        needs: frozenset[str] = frozenset(),
        temperature: float = 1.0,
        layout: Layout = "auto",
    ) -> Scores:
        """See :func:`hone.models.score.score`."""

    def skips_padding(self, layout: Layout) -> bool:
        """Whether padding, and what rows begin with in common, cost nothing in that layout."""


def score_all(
    scorer: Scorer,
    batch: Batch,
    *,
    micro_tokens: int,
    needs: frozenset[str] = frozenset(),
    temperature: float = 1.0,
    layout: Layout = "auto",
) -> Scores:
    """``logprob`` of every row of a batch, and ``value`` and ``last_value`` if needed, a micro-batch at a time.

    Args:
        scorer: who scores.
        batch: rows of tokens.
        micro_tokens: most tokens of one forward pass, counted as :func:`hone.training.update.update` counts them.
        needs: "value", or nothing.
        temperature: the sampler's.
        layout: of the rows in the forward passes.
    """
    logprob_BT = torch.zeros_like(batch.reward)
    value_BT: Tensor | None = torch.zeros_like(batch.reward) if "value" in needs else None
    last_B: Tensor | None = torch.zeros_like(batch.bootstrap) if "value" in needs else None
    with torch.no_grad():
        for index in micro_batches(batch, "row", micro_tokens, distinct=scorer.skips_padding(layout)):
            part = scorer.score(batch.rows(index), needs=needs, temperature=temperature, layout=layout)
            width = part.logprob.shape[1]
            logprob_BT[index, :width] = part.logprob
            if value_BT is not None and last_B is not None:
                value_BT[index, :width] = part.need("value")
                last_B[index] = part.need("last_value")
    return Scores(logprob_BT, value=value_BT, last_value=last_B)


def reference_of(recipe: Recipe, policy: Policy) -> Reference:
    """The policy as it is now, or the model that the recipe names.

    Raises:
        HoneError: that model's tokens are others.
    """
    if not recipe.reference:
        return policy.reference()
    named = load(dataclasses.replace(recipe.model, path=recipe.reference, revision=None))
    if named.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise HoneError(
            "the reference has another tokenizer than the policy, so it cannot score the policy's tokens",
            where="reference",
            got=recipe.reference,
            expected="a model of the same family: the one that the policy was trained from",
        )
    return named.reference()
