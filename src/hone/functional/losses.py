"""Per-token losses, not reduced. Every function is elementwise over [B,T] unless it says otherwise."""

from __future__ import annotations

import torch
from torch import Tensor

from hone.functional.episodes import Episodes


def log_ratio(logprob_BT: Tensor, old_logprob_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """``log π(a) − log π_old(a)`` on the mask, 0 off it.

    Off the mask the two columns need not speak of the same thing; 0 there keeps ``exp`` from overflowing into
    a NaN gradient (0 · ∞).
    """
    return torch.where(mask_BT, logprob_BT - old_logprob_BT, torch.zeros_like(logprob_BT))


def sequence_log_ratio(episodes: Episodes, log_ratio_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """[B,T] log-ratio of the whole episode taken as one action, ``Σ_t log ρ_t``, on each of its tokens.

    Sums over all rows of the episode, so a micro-batch may not split one.
    """
    return episodes.spread(episodes.total(log_ratio_BT, mask_BT), mask_BT)


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """``−min(ρ A, clip(ρ, 1 − ε_low, 1 + ε_high) A)``.

    PPO, arXiv 1707.06347; a wider clip above than below is DAPO's, arXiv 2503.14476.
    """
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip_low, 1 + clip_high) * advantage)


def is_clipped(ratio: Tensor, advantage: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """Bool: the clip is active, that is :func:`clipped_surrogate` has no gradient at this token."""
    return ((ratio > 1 + clip_high) & (advantage > 0)) | ((ratio < 1 - clip_low) & (advantage < 0))


def clipped_value_loss(value: Tensor, old_value: Tensor, target: Tensor, clip: float) -> Tensor:
    """``½ max((V − G)², (clip(V, V_old ± c) − G)²)``, as in lm-human-preferences."""
    clipped = torch.clamp(value, old_value - clip, old_value + clip)
    return 0.5 * torch.maximum((value - target).square(), (clipped - target).square())


def negative_log_likelihood(logprob: Tensor) -> Tensor:
    """``−log π(token)``, in nats."""
    return -logprob


def entropy(logits: Tensor) -> Tensor:
    """``−Σ_v π(v) log π(v)`` in nats, [...] from logits [..., V]; a logit of −∞ adds 0, gradient included."""
    logprob = logits.log_softmax(-1)
    return -(logprob.exp() * logprob.masked_fill(logprob.isneginf(), 0.0)).sum(-1)
