"""Attention over the flat layout: piece by piece, merged by the logarithms of the softmax denominators.

Let a token find ``o_p = Σ_j e^{s_j} v_j / e^{l_p}`` with ``l_p = log Σ_j e^{s_j}`` over the keys of piece p. Then with
``l = log Σ_p e^{l_p}`` its attention over all keys is ``Σ_p e^{l_p − l} o_p``. Backward is the ordinary one of each
piece, given the whole output and l instead of the piece's own: the weights ``e^{s_j − l}`` and
``Σ_j w_j ∂_j = o · ∂o`` are then those of the whole. Source of the merging: Liu et al., Ring Attention, arXiv
2310.01889; Dao, FlashAttention-2, arXiv 2307.08691.

Dimensions: N tokens, H query heads, G key-value heads, D head size; R rows of a piece, Q queries, L keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hone.models.attention import Attend, Layer
from hone.models.flat import Flat

_ABSENT = -1e30
"""log of a denominator of nothing; finite, so that differences are."""

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor | None, bool, float], tuple[Tensor, Tensor]]
"""Query [R,H,Q,D], key and value [R,G,L,D], mask, causal, scaling → output [R,H,Q,D], log-denominator [R,H,Q]."""


def attend_flat(flat: Flat) -> Attend:
    """The attention of a model that is run on ``flat.tokens`` [1,N]."""

    def attend(query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        device = query.device.type
        if torch.is_autocast_enabled(device):  # as sdpa would have been
            dtype = torch.get_autocast_dtype(device)
            query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        scaling = query.shape[-1] ** -0.5 if layer.scaling is None else layer.scaling
        q_NHD, k_NGD, v_NGD = (x[0].transpose(0, 1) for x in (query, key, value))
        if device == "cpu" and layer.softcap is None and v_NGD.shape[-1] == q_NHD.shape[-1]:
            out_NHD: Tensor = _Fused.apply(q_NHD, k_NGD, v_NGD, flat, layer.window, scaling)  # type: ignore[no-untyped-call]
        else:
            out_NHD, _ = _merge(q_NHD, k_NGD, v_NGD, flat, layer.window, scaling, _capped(layer.softcap))
        return out_NHD[None]

    return attend


def _merge(
    q_NHD: Tensor, k_NGD: Tensor, v_NGD: Tensor, flat: Flat, window: int | None, scaling: float, kernel: Kernel
) -> tuple[Tensor, Tensor]:
    """Output [N,H,D] and log-denominator [N,H] over all pieces."""
    whole = log_NH = None
    for level in flat.levels:
        outs, logs = [], []
        for piece in level.pieces:
            mask = piece.mask(window, q_NHD.dtype)
            q, k, v = _rows(q_NHD, piece.query), _rows(k_NGD, piece.key), _rows(v_NGD, piece.key)
            out, log = kernel(q, k, v, mask, piece.causal and mask is None, scaling)
            outs.append(out.transpose(1, 2).reshape(-1, *q_NHD.shape[1:-1], v.shape[-1]))
            logs.append(log.transpose(1, 2).reshape(-1, q_NHD.shape[1]))
        out_NHD = _joined(outs).index_select(0, level.place)
        own_NH = _joined(logs).index_select(0, level.place)
        if whole is None or log_NH is None:
            whole, log_NH = out_NHD, own_NH
            continue
        if level.absent is not None:
            own_NH = own_NH.masked_fill(level.absent[:, None], _ABSENT)
        both_NH = torch.logaddexp(log_NH, own_NH)
        weight, own_weight = (log_NH - both_NH).exp()[..., None], (own_NH - both_NH).exp()[..., None]
        whole, log_NH = (whole * weight + out_NHD * own_weight).to(whole.dtype), both_NH
    assert whole is not None and log_NH is not None
    return whole, log_NH


class _Fused(torch.autograd.Function):
    """The merged attention by torch's flash kernel for CPUs; keeps nothing but [N] tensors for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        q_NHD: Tensor,
        k_NGD: Tensor,
        v_NGD: Tensor,
        flat: Flat,
        window: int | None,
        scaling: float,
    ) -> Tensor:
        out_NHD, log_NH = _merge(q_NHD, k_NGD, v_NGD, flat, window, scaling, _flash)
        ctx.save_for_backward(q_NHD, k_NGD, v_NGD, out_NHD, log_NH)
        ctx.flat, ctx.window, ctx.scaling = flat, window, scaling
        return out_NHD

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q_NHD, k_NGD, v_NGD, out_NHD, log_NH = ctx.saved_tensors
        grad_NHD = grads[0].contiguous()
        found = tuple(torch.zeros(x.shape, dtype=x.dtype, device=x.device) for x in (q_NHD, k_NGD, v_NGD))
        for level in ctx.flat.levels:
            for piece in level.pieces:
                mask = piece.mask(ctx.window, q_NHD.dtype)
                q, k, v = _rows(q_NHD, piece.query), _rows(k_NGD, piece.key), _rows(v_NGD, piece.key)
                # An unused place must give no gradient: none comes in, and its weights are 0.
                grad, log = _rows(grad_NHD, piece.query, piece.dead, 0.0), _rows(log_NH, piece.query, piece.dead, 1e30)
                parts = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                    grad,
                    q,
                    k,
                    v,
                    _rows(out_NHD, piece.query),
                    log,
                    0.0,
                    piece.causal and mask is None,
                    attn_mask=mask,
                    scale=ctx.scaling,
                )
                for total, part, index in zip(found, parts, (piece.query, piece.key, piece.key), strict=True):
                    total.index_add_(0, index.reshape(-1), part.transpose(1, 2).reshape(-1, *total.shape[1:]))
        return *found, None, None, None


def _flash(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scaling: float) -> tuple[Tensor, Tensor]:
    out, log = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k, v, 0.0, causal, attn_mask=mask, scale=scaling
    )
    return out, log


def _capped(softcap: float | None) -> Kernel:
    """The formula, differentiable, for what no kernel knows."""

    def kernel(
        q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scaling: float
    ) -> tuple[Tensor, Tensor]:
        rows, heads, queries, width = q.shape
        groups, length = k.shape[1], k.shape[2]
        wide = torch.promote_types(q.dtype, torch.float32)
        scores = (q.reshape(rows, groups, -1, width) @ k.transpose(-1, -2)).to(wide) * scaling
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        scores = scores.view(rows, heads, queries, length)
        if causal:
            later = torch.ones(queries, length, dtype=torch.bool, device=q.device).triu(1)
            scores = scores.masked_fill(later, _ABSENT)
        if mask is not None:
            scores = scores + mask
        log = torch.logsumexp(scores, -1)
        weights = (scores - log[..., None]).exp().to(v.dtype)
        return (weights.view(rows, groups, -1, length) @ v).view(rows, heads, queries, -1), log

    return kernel


def _rows(x_N: Tensor, index_RQ: Tensor, dead: Tensor | None = None, filler: float = 0.0) -> Tensor:
    """[N,H,...] → [R,H,Q,...], the memory as [R,Q,H,...]."""
    chosen = x_N.index_select(0, index_RQ.reshape(-1))
    if dead is not None and len(dead):
        chosen.index_fill_(0, dead, filler)
    return chosen.view(*index_RQ.shape, *x_N.shape[1:]).transpose(1, 2)


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]
