"""Draw tokens by inverse CDF from one uniform per row, with the log-probability they were drawn with.

Dimensions: B rows, V vocabulary, K blocks of S tokens (the last block may be shorter).

Softmax, cumulative sum and search over a whole vocabulary are the slowest way to use a uniform. Two levels
are enough: sum the unnormalised probabilities block by block, find the block the uniform falls into, then the
token inside that block. Only ``exp`` and one sum touch all V entries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hone.core.errors import HoneError
from hone.engines.base import Sampling


def draw(logits_BV: Tensor, sampling: Sampling, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """One token per row, all rows under the same settings.

    The distribution is ``softmax(truncate(logits / temperature))``. At temperature 0 the token is the argmax
    and its log-probability the one at temperature 1, not truncated.

    Args:
        logits_BV: [B,V] float32; ``-inf`` marks tokens that cannot be drawn (the end token below
        ``min_tokens``). sampling: its temperature, top_k and top_p are used. uniform_B: [B] float64 in [0,
        1).

    Returns:
        ids [B] int64 and their log-probabilities [B] float32 under exactly the distribution drawn from.

    Raises:
        HoneError: a row holds NaN or ``+inf``, or no token that can be drawn.
    """
    if sampling.temperature == 0:
        total_B = logits_BV.logsumexp(-1)
        _refuse_not_finite(total_B)
        token_B = logits_BV.argmax(-1)
        return token_B, logits_BV.gather(1, token_B[:, None])[:, 0] - total_B
    scaled_BV = logits_BV if sampling.temperature == 1 else logits_BV / sampling.temperature
    return inverse_cdf(truncate(scaled_BV, sampling.top_k, sampling.top_p), uniform_B)


def distribution(sampling: Sampling) -> Sampling:
    """The settings that :func:`draw` reads, the rest at defaults; rows with equal ones share a call."""
    return replace(sampling, min_tokens=0, max_tokens=1, stop=())


def draw_each(
    logits_BV: Tensor, kinds: Sequence[Sampling], kind_B: NDArray[np.int64] | None, uniform_B: Tensor
) -> tuple[Tensor, Tensor]:
    """:func:`draw` for rows with settings of their own; rows with equal settings are drawn together.

    Args:
        logits_BV: [B,V]. kinds: the settings. kind_B: [B] which of them each row has; None where there is just one.
        uniform_B: [B].
    """
    if kind_B is None or (kind_B == kind_B[0]).all():
        return draw(logits_BV, kinds[0 if kind_B is None else int(kind_B[0])], uniform_B)
    token_B = torch.empty(len(kind_B), dtype=torch.int64, device=logits_BV.device)
    logprob_B = torch.empty(len(kind_B), device=logits_BV.device)
    for kind in np.unique(kind_B).tolist():
        rows = torch.from_numpy(np.flatnonzero(kind_B == kind)).to(logits_BV.device)
        token_B[rows], logprob_B[rows] = draw(logits_BV[rows], kinds[kind], uniform_B[rows])
    return token_B, logprob_B


def truncate(logits_BV: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits with ``-inf`` off the kept set: the k likeliest, of these the smallest set that reaches p.

    Probabilities for top-p are those after top-k, renormalised. Ties are broken by the sort, so exactly k
    stay.

    Args:
        logits_BV: [B,V].
        top_k: 0 keeps all.
        top_p: 1 keeps all.
    """
    if not top_k and top_p == 1:
        return logits_BV
    if top_k and top_k < logits_BV.shape[1]:
        value_BK, index_BK = logits_BV.topk(top_k)
    else:
        value_BK, index_BK = logits_BV.sort(dim=-1, descending=True, stable=True)
    if top_p < 1:
        probability_BK = value_BK.double().softmax(-1)
        before_BK = probability_BK.cumsum(-1) - probability_BK
        value_BK = value_BK.masked_fill(before_BK >= top_p, -math.inf)
    return torch.full_like(logits_BV, -math.inf).scatter(1, index_BK, value_BK)


def inverse_cdf(logits_BV: Tensor, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """Ids [B] drawn from ``softmax(logits)`` by two-level inverse CDF, and their log-probabilities [B].

    A token i is drawn iff ``cdf(i-1) <= u·Z < cdf(i)``, so a token of probability zero never is; the target
    is held one float below each level's total, so rounding cannot run past the last positive token.

    Args:
        logits_BV: [B,V] float32.
        uniform_B: [B] float64 in [0, 1).
    """
    vocabulary = logits_BV.shape[1]
    size = block_size(vocabulary)
    whole = vocabulary // size * size
    peak_B1 = logits_BV.amax(-1, keepdim=True)
    weight_BV = (logits_BV - peak_B1).exp_()
    mass_BK = weight_BV[:, :whole].view(len(logits_BV), -1, size).sum(-1)
    if whole < vocabulary:
        mass_BK = torch.cat((mass_BK, weight_BV[:, whole:].sum(-1, keepdim=True)), 1)
    cdf_BK = mass_BK.double().cumsum(-1)
    total_B1 = cdf_BK[:, -1:]
    _refuse_not_finite(total_B1)

    target_B1, block_B1 = _search(cdf_BK, uniform_B[:, None] * total_B1)
    below_B1 = torch.where(block_B1 > 0, cdf_BK.gather(1, (block_B1 - 1).clamp_(min=0)), 0.0)
    column_BS = block_B1 * size + torch.arange(size, device=logits_BV.device)
    inside_BS = weight_BV.gather(1, column_BS.clamp(max=vocabulary - 1)).double()
    inside_BS = inside_BS.masked_fill_(column_BS >= vocabulary, 0.0)
    _, offset_B1 = _search(inside_BS.cumsum(-1), target_B1 - below_B1)

    token_B1 = block_B1 * size + offset_B1
    logprob_B1 = logits_BV.gather(1, token_B1) - peak_B1 - total_B1.log().float()
    return token_B1[:, 0], logprob_B1[:, 0]


def block_size(vocabulary: int) -> int:
    """A power of two near √V: about as many blocks as there are tokens in one."""
    return int(2 ** max(0, round(math.log2(vocabulary) / 2)))


def _search(cdf_BN: Tensor, target_B1: Tensor) -> tuple[Tensor, Tensor]:
    """The target held below the total, and the first index [B,1] whose cdf exceeds it."""
    total_B1 = cdf_BN[:, -1:].contiguous()
    held_B1 = torch.minimum(target_B1, torch.nextafter(total_B1, torch.zeros_like(total_B1)))
    return held_B1, torch.searchsorted(cdf_BN, held_B1, right=True)


def _refuse_not_finite(total: Tensor) -> None:
    if not bool(torch.isfinite(total).all()):
        raise HoneError(
            "the policy's logits are not finite, so nothing can be sampled",
            expected="finite logits",
            do="lower the learning rate, or start again from an earlier checkpoint",
        )
