"""Activations recomputed in the backward pass instead of kept: less memory for a third more time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from hone.models.attention import recomputing
from hone.models.logits import inner


def checkpoint_activations(model: nn.Module) -> None:
    """Recompute every layer's activations in the backward pass (in training mode) instead of keeping them.

    Attention that was replaced for the forward pass is replaced again in the recomputation.
    The method of transformers has had two names; version 6 of transformers drops the older one.
    """
    base = inner(model)
    enable = getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable
    enable({"use_reentrant": False, "context_fn": recomputing})


@contextmanager
def checkpointed(model: nn.Module) -> Iterator[None]:
    """Let the layers recompute: transformers does so only in layers in training mode.

    What is inside those layers stays in its mode, so that nothing random (a router's jitter) is switched on.
    """
    layers = [m for m in model.modules() if getattr(m, "gradient_checkpointing", False) and not m.training]
    layers = layers if torch.is_grad_enabled() else []
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False
