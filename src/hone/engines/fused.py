"""A decoder of Llama's shape run without its modules: fewer, larger operations on copies of the weights.

On small models most of a decoding step is not arithmetic but Python, module calls and small kernels. Here query, key
and value projections are one product, gate and up projections another; the norms' weights and the attention's scale are
multiplied into the products that follow them; rotations are one complex product. Which models it is right for is found
out by comparing logits (:mod:`hone.engines.check`), not by name.

Dimensions: N rows, Q new tokens of each, S = N·Q, E width of the hidden states, H query heads, G key-value heads, D
head size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own custom)
from transformers import Cache

from hone.engines.attend import Attention
from hone.models.attention import Layer
from hone.models.logits import inner

_LINEARS = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)
_ROUND = 16
"""Half-precision products are made for rows rounded up to this."""
_NORMS = ("input_layernorm", "post_attention_layernorm")


@dataclass(slots=True)
class _Fused:
    """The weights of one layer."""

    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    gate_up: Tensor
    down: Tensor


class FusedBody:
    """See :class:`hone.engines.bodies.Body`.

    Args:
        model: a causal language model.
        dtype: of the matrix products; everything else is float32.
        max_length: positions there can be.

    Raises:
        TypeError: it is not built like Llama.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype, max_length: int) -> None:
        base: Any = inner(model)
        _need_shape(base)
        self.base, self.dtype, self.max_length = base, dtype, max_length
        attention = base.model.layers[0].self_attn
        self.size: int = attention.head_dim
        self.heads = attention.q_proj.out_features // self.size
        self.groups = attention.k_proj.out_features // self.size
        self.activate: Callable[[Tensor], Tensor] = base.model.layers[0].mlp.act_fn
        self.epsilon: float = base.model.norm.variance_epsilon
        self.layers = [Layer(scaling=1.0, window=_window(layer.self_attn)) for layer in base.model.layers]
        self.rotation = _rotation(base, self.size, max_length)
        self.refresh()

    def session(self) -> AbstractContextManager[object]:
        """No autocast: the weights are cast already, and attention stays float32."""
        return torch.autocast(self.embedding.device.type, enabled=False)

    def refresh(self) -> None:
        """Copy the weights, in the dtype of the products."""
        with torch.no_grad():
            body = self.base.model
            self.embedding = body.embed_tokens.weight
            self.fused = [self._fuse(layer) for layer in body.layers]
            self.head = (self.base.lm_head.weight * body.norm.weight).to(self.dtype)

    def __call__(self, ids_NQ: Tensor, position_NQ: Tensor, cache: Cache, attend: Attention) -> Tensor:
        """See :class:`hone.engines.bodies.Body`."""
        rows, queries = ids_NQ.shape
        count, rotated = rows * queries, self.heads + self.groups
        # For half precision oneDNN prepares a kernel for every number of rows: there are few of them.
        spare = 0 if self.dtype == torch.float32 else -count % _ROUND
        state_SE = F.pad(F.embedding(ids_NQ.reshape(-1), self.embedding).float(), (0, 0, 0, spare))
        turn_S = self.rotation[position_NQ.reshape(-1)][:, None]
        for number, layer in enumerate(self.fused):
            mixed = F.linear(self._norm(state_SE), layer.qkv, layer.qkv_bias).float()
            mixed = mixed[:count].view(count, -1, self.size)
            pairs = torch.view_as_complex(mixed[:, :rotated].reshape(count, rotated, -1, 2))
            turned = torch.view_as_real(pairs * turn_S).flatten(-2)
            split = (rows, queries, -1, self.size)
            query = turned[:, : self.heads].reshape(split).transpose(1, 2)
            key = turned[:, self.heads :].reshape(split).transpose(1, 2)
            value = mixed[:, rotated:].reshape(split).transpose(1, 2)
            key, value = cache.update(key, value, number)
            seen_SE = attend(query, key, value, self.layers[number]).reshape(count, -1).to(self.dtype)
            state_SE = state_SE + F.linear(F.pad(seen_SE, (0, 0, 0, spare)) if spare else seen_SE, layer.out)
            gate, up = F.linear(self._norm(state_SE), layer.gate_up).chunk(2, -1)
            state_SE = state_SE + F.linear(self.activate(gate).mul_(up), layer.down)
        if queries > 1:
            state_SE = state_SE[:count].view(rows, queries, -1)[:, -1]
        return F.linear(self._norm(state_SE), self.head)[:rows].float()

    def _norm(self, state_SE: Tensor) -> Tensor:
        scale_S1 = torch.rsqrt((state_SE * state_SE).mean(-1, keepdim=True) + self.epsilon)
        return (state_SE * scale_S1).to(self.dtype)

    def _fuse(self, layer: Any) -> _Fused:
        attention, mlp = layer.self_attn, layer.mlp
        first, second = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        factors = (attention.scaling, 1.0, 1.0)
        weights, biases = [], []
        for number, (projection, factor) in enumerate(zip(projections, factors, strict=True)):
            weight = projection.weight * first * factor
            bias = None if projection.bias is None else projection.bias * factor
            if number < 2:  # neighbours are turned together, not the halves of a head
                weight, bias = self._pair(weight), None if bias is None else self._pair(bias)
            weights.append(weight)
            biases.append(bias)
        bias = None if biases[0] is None else torch.cat([b for b in biases if b is not None])
        return _Fused(
            torch.cat(weights).to(self.dtype),
            None if bias is None else bias.to(self.dtype),
            attention.o_proj.weight.to(self.dtype),
            (torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]) * second).to(self.dtype),
            mlp.down_proj.weight.to(self.dtype),
        )

    def _pair(self, rows: Tensor) -> Tensor:
        """Output rows of a projection reordered so that the two halves of each head alternate."""
        heads = rows.view(-1, 2, self.size // 2, *rows.shape[1:])
        return heads.transpose(1, 2).reshape(rows.shape)


def _rotation(base: Any, size: int, length: int) -> Tensor:
    """[length, size/2] complex: what turns a pair of numbers at each position."""
    device = base.model.embed_tokens.weight.device
    with torch.no_grad():
        cos, sin = base.model.rotary_emb(torch.zeros(1, 1, 1, device=device), torch.arange(length, device=device)[None])
    if cos.shape[-1] != size:
        raise TypeError("only a part of each head is rotated")
    return torch.complex(cos[0, :, : size // 2].float().contiguous(), sin[0, :, : size // 2].float().contiguous())


def _window(attention: Any) -> int | None:
    """The sliding window of a layer: its own, or the model's where layers have none of their own."""
    window = getattr(attention, "sliding_window", getattr(attention.config, "sliding_window", None))
    return window if isinstance(window, int) else None


def _need_shape(base: Any) -> None:
    """Refuse a model that has other parameters than Llama's, or other modules in their places."""
    wanted = {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    for number in range(base.config.get_text_config().num_hidden_layers):
        wanted |= {f"model.layers.{number}.{name}.weight" for name in (*_LINEARS, *_NORMS)}
    optional = {
        f"{name[:-6]}bias" for name in wanted if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight"))
    }
    found = {name for name, _ in base.named_parameters(remove_duplicate=False)}
    if not wanted <= found <= wanted | optional:
        raise TypeError("other parameters than Llama's")
    linear = [base.lm_head, *(layer.get_submodule(name) for layer in base.model.layers for name in _LINEARS)]
    if any(type(module) is not nn.Linear for module in linear):
        raise TypeError("projections that are not plain")
    if not hasattr(base.model.norm, "variance_epsilon") or not hasattr(base.model, "rotary_emb"):
        raise TypeError("other norms or positions than Llama's")
