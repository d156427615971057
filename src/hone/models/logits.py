"""From tokens to hidden states and from those to logits, for any causal language model of transformers.

The two halves are separate so that logits are only made where they are needed: a [B,T,V] tensor is most of
the memory of a training step.

Dimensions: B rows, T positions, D width of the hidden states, V vocabulary, N chosen positions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Forward:
    """One pass through the body of a model.

    Attributes:
        hidden: [B,T,D] last hidden states (after the final norm).
        states: [B,T,...] what ``head`` turns into logits: ``hidden``, or the logits themselves where the
            model's head cannot be called apart from it.
        head: [N,...] → [N,V]; of a body alone there is none to call.
    """

    hidden: Tensor
    states: Tensor
    head: Callable[[Tensor], Tensor]


def forward(model: nn.Module, tokens_BT: Tensor) -> Forward:
    """Run the body of a model over right-padded rows.

    Padding is not masked: it stands on the right, where nothing real can see it. (Masked, a query of padding could
    be left without any key by a sliding window, and NaN times a gradient of zero is NaN.)

    Args:
        model: a causal language model, perhaps inside a peft model.
        tokens_BT: [B,T] int64.
    """
    return run(model, _inputs(tokens_BT))


def run(model: nn.Module, inputs: dict[str, Any]) -> Forward:
    """Run the body of a model on inputs as transformers names them; those that it does not take are left out."""
    base = inner(model)
    if _headless(base) or separable(model):
        body = base.base_model
        hidden_BTD: Tensor = body(**_accepted(body, inputs)).last_hidden_state
        return Forward(hidden_BTD, hidden_BTD, lambda chosen: apply_head(base, chosen))
    output = base(**_accepted(base, inputs), output_hidden_states=True)
    return Forward(output.hidden_states[-1], output.logits, lambda chosen: chosen)


def _headless(base: Any) -> bool:
    """Whether a model of transformers is a body alone."""
    return base.base_model is base and base.get_output_embeddings() is None


def takes_positions(model: nn.Module) -> bool:
    """Whether the model is told where its tokens stand; others count."""
    base = inner(model)
    body = base.base_model if separable(model) else base
    return "position_ids" in inspect.signature(body.forward).parameters


def inner(model: nn.Module) -> Any:
    """The transformers model inside a peft model (adapters stay in place), or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]


def apply_head(base: Any, hidden: Tensor) -> Tensor:
    """[..., D] → [..., V]: the language-model head with the architecture's scale and soft cap.

    Granite divides by ``logits_scaling``, Cohere multiplies by ``logit_scale``, Gemma 2 and later cap by
    ``c · tanh(logits / c)``.
    """
    config = base.config.get_text_config()
    logits: Tensor = base.get_output_embeddings()(hidden)
    if (multiplier := getattr(config, "logit_scale", None)) is not None:
        logits = logits * multiplier
    if (divisor := getattr(config, "logits_scaling", None)) is not None:
        logits = logits / divisor
    if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
        logits = torch.tanh(logits / cap) * cap
    return logits


_separable: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def separable(model: nn.Module) -> bool:
    """Whether body and head, called apart, give exactly what the model gives.

    Tried once per model on three tokens, since an architecture may do to its logits what nobody here has
    heard of. Tried in the dtype of the weights: rounding would hide differences, and autocast must not keep weights
    that were cast without a gradient.
    """
    base = inner(model)
    if base not in _separable:
        device = base.get_input_embeddings().weight.device
        with torch.autocast(device.type, enabled=False):
            _separable[base] = _try_apart(base, device)
    return _separable[base]


def _try_apart(base: Any, device: torch.device) -> bool:
    body = getattr(base, getattr(base, "base_model_prefix", "") or "-", None)
    if body is None or body is base or base.get_output_embeddings() is None:
        return False
    ids = torch.arange(3, device=device)[None] % base.get_input_embeddings().weight.shape[0]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    with torch.no_grad():
        whole = base(**_accepted(base, inputs)).logits
        hidden = getattr(body(**_accepted(body, inputs)), "last_hidden_state", None)
        if hidden is None:
            return False
        apart = apply_head(base, hidden)
    return apart.shape == whole.shape and torch.allclose(apart, whole, rtol=1e-6, atol=1e-6)


def _inputs(tokens_BT: Tensor) -> dict[str, Any]:
    position_BT = torch.arange(tokens_BT.shape[1], device=tokens_BT.device).expand(tokens_BT.shape)
    attended_BT = torch.ones_like(tokens_BT)
    return {"input_ids": tokens_BT, "attention_mask": attended_BT, "position_ids": position_BT, "use_cache": False}


def _accepted(module: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs that a module's ``forward`` names: not every architecture has position ids."""
    names = inspect.signature(module.forward).parameters
    return {name: value for name, value in inputs.items() if name in names}
