"""Advantages of whole episodes: an outcome against the other outcomes of its group or batch; and whitening.

Dimensions: E episodes, G groups. Every estimator takes ``reward_E``, ``group_E`` (any integer ids) and
``valid_E`` (bool). A failed episode has no reward: it counts in no mean and no deviation and its advantage is
0. A group with one valid episode, or whose valid rewards are all equal, carries no signal: its advantages are
exactly 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hone.core.batch import compact


def group_centred(reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
    """``A_i = r_i − mean(r)`` over the valid episodes of the group (Dr. GRPO, arXiv 2503.20783)."""
    return _centred(reward_E, group_E, valid_E)[0]


def group_zscore(reward_E: Tensor, group_E: Tensor, valid_E: Tensor, epsilon: float = 1e-4) -> Tensor:
    """``A_i = (r_i − mean(r)) / (std(r) + ε)`` with the sample deviation (n − 1).

    GRPO (arXiv 2402.03300) writes std without saying which and without ε; n − 1 and 1e-4 are TRL's.
    """
    centred_E, count_E, number_E, groups = _centred(reward_E, group_E, valid_E)
    square_G = centred_E.new_zeros(groups).index_add(0, number_E, centred_E.square())
    std_E = (square_G[number_E] / (count_E - 1).clamp(min=1)).sqrt()
    return centred_E / (std_E + epsilon)


def group_centred_batch_scaled(reward_E: Tensor, group_E: Tensor, valid_E: Tensor, epsilon: float = 1e-4) -> Tensor:
    """``A_i = (r_i − mean(r of the group)) / (std(r of all valid episodes) + ε)``, sample deviation (n − 1).

    Lite PPO (arXiv 2508.08221); that it is the rewards' deviation, not that of what is left of them once centred, is
    TRL's reading (``scale_rewards="batch"``).
    """
    all_E, count_E, _, _ = _centred(reward_E, torch.zeros_like(group_E), valid_E)
    std = (all_E.square().sum() / (count_E.max() - 1).clamp(min=1)).sqrt() if len(all_E) else all_E.sum()
    return group_centred(reward_E, group_E, valid_E) / (std + epsilon)


def leave_one_out(reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
    """``A_i = r_i − 1/(n−1) Σ_{j≠i} r_j`` over the valid episodes of the group (RLOO, arXiv 2402.14740).

    Equal to ``n/(n−1) · (r_i − mean(r))``, which is how it is computed.
    """
    centred_E, count_E, _, _ = _centred(reward_E, group_E, valid_E)
    return centred_E * count_E / (count_E - 1).clamp(min=1)


def batch_mean(reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
    """``A_i = r_i − mean(r)`` over all valid episodes of the batch; ``group_E`` is not looked at."""
    return _centred(reward_E, torch.zeros_like(group_E), valid_E)[0]


def whiten(x: Tensor, mask: Tensor, keep_mean: bool = False, epsilon: float = 1e-8) -> Tensor:
    """``(x − mean) / sqrt(var + ε)`` over the mask, plus the mean again if asked; 0 off the mask.

    The variance is the population's (n), as in lm-human-preferences; TRL's PPO used n − 1. Call it on the
    whole optimiser batch, never on a micro-batch.

    Args:
        x: any shape; entries off the mask may be anything, also not finite.
        mask: bool, the same shape.
        keep_mean: scale only (rewards), or centre too (advantages).
        epsilon: added to the variance.
    """
    x = torch.where(mask, x, torch.zeros_like(x))
    count = mask.sum().clamp(min=1)
    mean = x.sum() / count
    centred = torch.where(mask, x - mean, torch.zeros_like(x))
    scaled = centred * (centred.square().sum() / count + epsilon).rsqrt()
    return torch.where(mask, scaled + mean, scaled) if keep_mean else scaled


def _centred(reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
    """``r − group mean``, valid episodes of its group [E], group number [E], and the number of groups.

    The spread is asked of the largest and smallest reward, not of the deviation: the mean of three times 0.1
    is not 0.1 in floating point, and dividing that rounding error by a tiny deviation would turn it into
    signal.
    """
    number_E, groups = compact(group_E)
    nothing_E = torch.zeros_like(reward_E)
    kept_E = torch.where(valid_E, reward_E, nothing_E)
    count_G = reward_E.new_zeros(groups).index_add(0, number_E, valid_E.to(reward_E.dtype))
    sum_G = reward_E.new_zeros(groups).index_add(0, number_E, kept_E)
    count_E = count_G[number_E]
    mean_E = sum_G[number_E] / count_E.clamp(min=1)
    low_G = reward_E.new_full((groups,), torch.inf)
    low_G = low_G.scatter_reduce(0, number_E, reward_E.masked_fill(~valid_E, torch.inf), "amin")
    high_G = reward_E.new_full((groups,), -torch.inf)
    high_G = high_G.scatter_reduce(0, number_E, reward_E.masked_fill(~valid_E, -torch.inf), "amax")
    signal_E = valid_E & (low_G < high_G)[number_E]
    return torch.where(signal_E, kept_E - mean_E, nothing_E), count_E, number_E, groups
