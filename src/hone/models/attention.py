"""Attention of one's own inside the models of transformers: one registered implementation, chosen for a block.

transformers looks the attention function up by a name in the model's configuration. Here the name is ``hone``, and
what it does is said by whoever switches a model to it: :func:`attending` takes a function and restores everything
afterwards. Everything else of the model (projections, norms, rotary embeddings) stays as it is.

Dimensions: B rows, H query heads, G key-value heads, Q queries, L keys, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own custom)
from transformers import AttentionInterface, AttentionMaskInterface

from hone.models.logits import inner

NAME = "hone"


@dataclass(frozen=True, slots=True)
class Layer:
    """What a layer asks of its attention.

    Attributes:
        mask: what the model was given as a four-dimensional mask, [B,1,Q,L] bool (True is seen) or additive; None
            where none was given.
        scaling: factor of the scores; None is ``1 / √D``.
        softcap: scores become ``c · tanh(scores / c)``; None does not.
        window: a query sees this many newest positions, itself included; None sees all.
    """

    mask: Tensor | None = None
    scaling: float | None = None
    softcap: float | None = None
    window: int | None = None


Attend = Callable[[Tensor, Tensor, Tensor, Layer], Tensor]
"""Query [B,H,Q,D], key and value [B,G,L,D] → [B,Q,H,D], the heads' outputs as transformers wants them."""


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    scaling: float | None = None,
    softcap: float | None = None,
) -> Tensor:
    """``softmax(cap(scaling · q kᵀ) + mask) v`` per head, [B,H,Q,D]; H may be a multiple of G.

    Keys and values are not repeated for the heads that share them, but on CUDA with a mask and more than one query,
    where the fused kernels ask for it.

    Args:
        query: [B,H,Q,D].
        key: [B,G,L,D].
        value: [B,G,L,D].
        mask: broadcasts to [B,1,Q,L]: bool (True is seen) or added to the scores.
        causal: query i sees keys 0..i; Q = L then, and ``mask`` is None.
        scaling: None is ``1 / √D``.
        softcap: c in ``c · tanh(scores / c)``.
    """
    if softcap is not None:
        return _capped(query, key, value, mask, causal, scaling, softcap)
    grouped = query.shape[1] != key.shape[1]
    if grouped and query.shape[2] == 1:
        rows, heads, _, width = query.shape
        folded = query.reshape(rows, key.shape[1], -1, width)
        found = F.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
        return found.reshape(rows, heads, 1, -1)
    if grouped and mask is not None and query.device.type == "cuda":
        share = query.shape[1] // key.shape[1]
        key, value, grouped = key.repeat_interleave(share, 1), value.repeat_interleave(share, 1), False
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=causal, scale=scaling, enable_gqa=grouped
    )


def _capped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: bool,
    scaling: float | None,
    softcap: float,
) -> Tensor:
    """The same with soft-capped scores, which no fused kernel of torch knows. Softmax at least in float32, as there."""
    rows, heads, queries, width = query.shape
    groups, length = key.shape[1], key.shape[2]
    if causal:
        mask = torch.ones(queries, length, dtype=torch.bool, device=query.device).tril()
    factor = width**-0.5 if scaling is None else scaling
    folded = query.reshape(rows, groups, -1, width)
    scores = torch.tanh((folded @ key.transpose(-1, -2)) * (factor / softcap)) * softcap
    scores = scores.view(rows, heads, queries, length)
    if mask is not None:
        least = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~mask, least) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
    return (weights.view(rows, groups, -1, length) @ value).view(rows, heads, queries, -1)


def plain(query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
    """Attention as transformers would have computed it: by the mask given, or causal where there is none.

    Raises:
        NotImplementedError: a sliding window shorter than the text and no mask that says so.
    """
    if layer.mask is None and layer.window is not None and layer.window < key.shape[2]:
        raise NotImplementedError("a sliding window needs a mask")
    causal = layer.mask is None and query.shape[2] > 1
    found = attention(query, key, value, layer.mask, causal=causal, scaling=layer.scaling, softcap=layer.softcap)
    return found.transpose(1, 2)


_switched: dict[int, tuple[Any, Attend]] = {}
"""Configurations by id, each with the function its layers use; entries live as long as their block."""


def _entry(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What transformers calls; refuses what is not computed here instead of leaving it out."""
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    refused = [name for name in ("s_aux", "sinks", "position_bias", "head_mask") if others.get(name) is not None]
    refused += ["dropout"] * bool(dropout) + ["attention in both directions"] * (not causal)
    if refused:
        raise NotImplementedError(f"attention with {', '.join(refused)}")
    _, attend = _switched[id(module.config)]
    return attend(query, key, value, Layer(attention_mask, scaling, softcap, sliding_window)), None


AttentionInterface.register(NAME, _entry)
# Four-dimensional masks are handed through; from any other no mask is made.
AttentionMaskInterface.register(NAME, lambda *_, **__: None)


def switchable(model: nn.Module) -> bool:
    """Whether the architecture looks its attention up by name, and recomputed layers will look it up again.

    Activations that are recomputed in the backward pass run after the block has ended; only the checkpointing that
    :func:`hone.models.checkpointing.checkpoint_activations` asks for brings the function back. Where gradients are
    disabled nothing will be recomputed, and any checkpointing will do.
    """
    base = inner(model)
    can = getattr(type(base), "_can_set_attn_implementation", None)
    if can is None or not can():
        return False
    if not torch.is_grad_enabled():
        return True
    functions = [
        getattr(module, "_gradient_checkpointing_func", None)
        for module in base.modules()
        if getattr(module, "gradient_checkpointing", False)
    ]
    return all(getattr(f, "keywords", {}).get("context_fn") is recomputing for f in functions)


@contextmanager
def attending(model: nn.Module, attend: Attend) -> Iterator[None]:
    """Let the attention layers of a model (adapters included) be computed by ``attend`` inside this block.

    Blocks nest, also over one model; other models are left alone. The configurations are put back at the end,
    whatever happens.

    Raises:
        NotImplementedError: the architecture does not look its attention up by name (see :func:`switchable`).
    """
    if not switchable(model):
        raise NotImplementedError(f"{type(inner(model)).__name__} does not let its attention be replaced")
    with _switch([(config, attend) for config in _configs(inner(model))]):
        yield


def recomputing() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """``context_fn`` of :func:`torch.utils.checkpoint.checkpoint`: recompute with the attention of the first pass.

    It is not told which model it is asked for, so it brings back everything that is switched at this moment.
    """
    return nullcontext(), _switch(list(_switched.values()))


@contextmanager
def _switch(pairs: list[tuple[Any, Attend]]) -> Iterator[None]:
    before = [(config, config._attn_implementation_internal, _switched.get(id(config))) for config, _ in pairs]
    try:
        for config, attend in pairs:
            config._attn_implementation_internal = NAME
            _switched[id(config)] = config, attend
        yield
    finally:
        for config, name, pair in before:
            config._attn_implementation_internal = name
            if pair is None:
                del _switched[id(config)]
            else:
                _switched[id(config)] = pair


def _configs(base: Any) -> list[Any]:
    """Every configuration a model's modules read, nested ones too, each once."""
    found: dict[int, Any] = {}
    waiting: list[Any] = [getattr(module, "config", None) for module in base.modules()]
    while waiting:
        config = waiting.pop()
        if id(config) in found or not hasattr(config, "_attn_implementation_internal"):
            continue
        found[id(config)] = config
        waiting += [getattr(config, name, None) for name in config.sub_configs]
    return list(found.values())
