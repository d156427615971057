"""Per-token losses, not reduced. Every function is elementwise over [B,T] unless it says otherwise."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hone.core.batch import Batch
from hone.functional.episodes import Episodes

Level = Literal["token", "sequence", "sequence_mean"]
"""What a ratio is of: a token; the episode as one action; the episode, as the geometric mean over its tokens."""


def log_ratio(logprob_BT: Tensor, old_logprob_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """``log π(a) − log π_old(a)`` on the mask, 0 off it.

    Off the mask the two columns need not speak of the same thing; 0 there keeps ``exp`` from overflowing into
    a NaN gradient (0 · ∞).
    """
    return torch.where(mask_BT, logprob_BT - old_logprob_BT, torch.zeros_like(logprob_BT))


def log_ratio_at(level: Level, batch: Batch, log_ratio_BT: Tensor) -> Tensor:
    """[B,T] the log-ratio of what a token belongs to: itself, ``Σ_t log ρ_t``, or ``1/|o| Σ_t log ρ_t``.

    The sums run over the train tokens of all rows of the episode, so a micro-batch may not split one.
    """
    if level == "token":
        return log_ratio_BT
    episodes = Episodes.index(batch, batch.train)
    total_E = episodes.total(log_ratio_BT, batch.train)
    if level == "sequence_mean":
        total_E = total_E / episodes.mask_EA.sum(-1).clamp(min=1)
    return episodes.spread(total_E, batch.train)


def ratio_of(log_ratio: Tensor) -> Tensor:
    """``exp``, held below infinity: a clip that stops a ratio of ∞ would still hand on a gradient of 0 · ∞."""
    return log_ratio.clamp(max=80.0).exp()


def clipped_surrogate(
    ratio: Tensor, advantage: Tensor, clip_low: float, clip_high: float, dual_clip: float | None = None
) -> Tensor:
    """``−min(min(ρ, δ) A, clip(ρ, 1 − ε_low, 1 + ε_high) A)``; without a dual clip δ is ∞.

    PPO, arXiv 1707.06347; a wider clip above than below is DAPO's, arXiv 2503.14476. δ > 1 + ε_high acts where A < 0
    alone. It is written as INTELLECT-2's (arXiv 2505.07291); dual-clip PPO's ``max(min(ρA, clip(ρ)A), δA)`` for A < 0
    (arXiv 1912.09729) is the same function.
    """
    bounded = ratio if dual_clip is None else ratio.clamp(max=dual_clip)
    return -torch.minimum(bounded * advantage, ratio.clamp(1 - clip_low, 1 + clip_high) * advantage)


def is_clipped(
    ratio: Tensor, advantage: Tensor, clip_low: float, clip_high: float, dual_clip: float | None = None
) -> Tensor:
    """Bool: the clip is active, that is :func:`clipped_surrogate` has no gradient at this token."""
    above, below = (ratio > 1 + clip_high) & (advantage > 0), (ratio < 1 - clip_low) & (advantage < 0)
    return above | below if dual_clip is None else above | below | ((ratio > dual_clip) & (advantage < 0))


def weighted_logprob(logprob: Tensor, ratio: Tensor, advantage: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """``−clip(ρ, 1 − ε_low, 1 + ε_high) A log π``, the weight without gradient (CISPO, arXiv 2506.13585)."""
    return -ratio.detach().clamp(1 - clip_low, 1 + clip_high) * advantage * logprob


def truncated_weight(ratio: Tensor, cap: float) -> Tensor:
    """``min(ratio, cap)`` of learner to sampler: truncated importance sampling (Ionides 2008)."""
    return ratio.clamp(max=cap)


def masked_weight(ratio: Tensor, low: float, high: float) -> Tensor:
    """The ratio of learner to sampler inside [low, high], 0 outside."""
    return torch.where((ratio >= low) & (ratio <= high), ratio, torch.zeros_like(ratio))


def clipped_value_loss(value: Tensor, old_value: Tensor, target: Tensor, clip: float) -> Tensor:
    """``½ max((V − G)², (clip(V, V_old ± c) − G)²)``, as in lm-human-preferences."""
    clipped = torch.clamp(value, old_value - clip, old_value + clip)
    return 0.5 * torch.maximum((value - target).square(), (clipped - target).square())


def negative_log_likelihood(logprob: Tensor) -> Tensor:
    """``−log π(token)``, in nats."""
    return -logprob


def entropy(logits: Tensor) -> Tensor:
    """``−Σ_v π(v) log π(v)`` in nats, [...] from logits [..., V]; a logit of −∞ adds 0, gradient included."""
    return entropy_of(logits.log_softmax(-1))


def entropy_of(logprob: Tensor) -> Tensor:
    """:func:`entropy` of log-probabilities [..., V] that are normalised already."""
    return -(logprob.exp() * logprob.masked_fill(logprob.isneginf(), 0.0)).sum(-1)
