"""Loss terms and their denominators.

An algorithm returns per-token values and *names* a normaliser; it never divides. A normaliser turns the whole
optimiser batch into one weight per token, before micro-batching and across ranks, and the loss is
``Σ values · weights``. So neither the micro-batch size nor the number of ranks can change the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hone.core.batch import Batch, compact

AllReduce = Callable[[Tensor], Tensor]
"""Sum of a tensor over ranks; the identity on one machine."""


def _here(x: Tensor) -> Tensor:
    return x


class Normaliser(Protocol):
    """How a term's values are averaged."""

    def weights(self, batch: Batch, total: AllReduce = _here) -> Tensor:
        """[B,T] weight per token, zero off the train mask; computed on the whole optimiser batch."""


@dataclass(frozen=True)
class Tokens:
    """Mean over all train tokens of the batch: ``1/Σ|o|`` (DAPO's token-level loss, ordinary NLL)."""

    def weights(self, batch: Batch, total: AllReduce = _here) -> Tensor:
        """[B,T], ``1 / number of train tokens``."""
        mask = batch.train.float()
        return mask / total(mask.sum()).clamp(min=1)


@dataclass(frozen=True)
class Credited:
    """Mean over the train tokens that carry credit (a non-zero advantage): imitation of what was kept."""

    def weights(self, batch: Batch, total: AllReduce = _here) -> Tensor:
        """[B,T], ``1 / number of train tokens with credit``."""
        mask = (batch.train & (batch.need("advantage") != 0)).float()
        return mask / total(mask.sum()).clamp(min=1)


@dataclass(frozen=True)
class Sequences:
    """Mean over episodes of each episode's token mean: ``1/N Σ_i 1/|o_i|`` (GRPO)."""

    def weights(self, batch: Batch, total: AllReduce = _here) -> Tensor:
        """[B,T], ``1 / (tokens of the episode · episodes)``; an episode without train tokens does not count."""
        mask = batch.train.float()
        length_B, episodes = _episode_lengths(batch)
        return mask / length_B.clamp(min=1)[:, None] / total(episodes).clamp(min=1)


@dataclass(frozen=True)
class Fixed:
    """Sum over tokens divided by a constant length per episode, mean over episodes (Dr. GRPO; length 1: RLOO)."""

    length: int = 1

    def weights(self, batch: Batch, total: AllReduce = _here) -> Tensor:
        """[B,T], ``1 / (length · episodes)``."""
        _, episodes = _episode_lengths(batch)
        return batch.train.float() / (total(episodes).clamp(min=1) * self.length)


@dataclass(frozen=True)
class GroupPairs:
    """Mean over groups of the mean over a group's C(K,2) pairs of rows (InstructGPT), on each row's last train token.

    The term's value of a row is half the sum over the pairs it is in. A group of one row has no pair and does not
    count.
    """

    def weights(self, batch: Batch, total: AllReduce = _here) -> Tensor:
        """[B,T], ``1 / (pairs of the group · groups with pairs)`` on a row's last train token."""
        group_B, count = compact(batch.group)
        judged_B = batch.train.any(-1)
        rows_G = torch.zeros(count, device=batch.tokens.device).index_add(0, group_B, judged_B.float())
        pairs_G = rows_G * (rows_G - 1) / 2
        groups = total((pairs_G > 0).sum().float()).clamp(min=1)
        weight_G = torch.where(pairs_G > 0, 1 / (pairs_G.clamp(min=1) * groups), 0.0)
        after_BT = batch.train.long().flip(-1).cumsum(-1).flip(-1)  # train tokens from here on
        return (batch.train & (after_BT == 1)).float() * weight_G[group_B][:, None]


@dataclass(frozen=True)
class Sum:
    """No denominator."""

    def weights(self, batch: Batch, total: AllReduce = _here) -> Tensor:
        """[B,T], 1 on train tokens."""
        return batch.train.float()


@dataclass(frozen=True)
class Term:
    """One part of a loss, not reduced.

    Attributes:
        values: [B,T], per token; anything may stand off the train mask, its weight there is zero.
        normaliser: how the values are averaged.
        coefficient: factor of this part in the total loss.
    """

    values: Tensor
    normaliser: Normaliser
    coefficient: float = 1.0

    def reduce(self, weights: Tensor) -> Tensor:
        """Scalar ``Σ values · weights``; non-finite values off the mask cannot leak into value or gradient."""
        return torch.where(weights > 0, self.values, torch.zeros_like(self.values)).mul(weights).sum()


def _episode_lengths(batch: Batch) -> tuple[Tensor, Tensor]:
    """Train tokens of the episode each row belongs to [B], and the number of episodes that have any (scalar)."""
    episode_B, count = compact(batch.episode)
    length_E = torch.zeros(count, device=batch.tokens.device)
    length_E = length_E.index_add(0, episode_B, batch.train.float().sum(-1))
    return length_E[episode_B], (length_E > 0).sum().float()
