"""Partial fine-tuning: train the upper layers of a model and leave the lower ones as they are."""

from __future__ import annotations

from typing import Any

from torch import nn

from hone.core.errors import HoneError
from hone.models.logits import inner


def freeze_lower(model: nn.Module, *, last_layers: int = 0, frozen_share: float = 0.0) -> None:
    """Freeze the first layers and every embedding (positions and a tied output head included), in place.

    What follows the layers (final norm, an untied output head) stays trained.

    Args:
        model: a causal language model of transformers.
        last_layers: how many layers are trained, counted from the last.
        frozen_share: of the layers that are frozen, counted from the first and rounded down (GopherCite, arXiv
            2203.11147: 0.6); used where ``last_layers`` is 0.

    Raises:
        HoneError: the model has fewer layers, or no layer would be frozen.
    """
    layers = layers_of(model)
    frozen = len(layers) - last_layers if last_layers else int(frozen_share * len(layers) + 1e-9)
    if not 0 < frozen < len(layers):
        raise HoneError(
            "this freezes no layer, or all",
            where="model.last_layers" if last_layers else "model.frozen_share",
            got=f"{frozen} of {len(layers)} layers frozen",
            expected=f"1 to {len(layers) - 1}",
        )
    below: list[nn.Module] = [*layers[:frozen], *(m for m in model.modules() if isinstance(m, nn.Embedding))]
    for module in below:
        module.requires_grad_(False)


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The stack of layers of a transformers model.

    Raises:
        HoneError: none is found.
    """
    base: Any = inner(model)
    count = base.config.get_text_config().num_hidden_layers
    for module in base.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise HoneError("the layers of this architecture are not found", got=base.config.model_type)
