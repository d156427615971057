"""Activations recomputed in the backward pass instead of kept: less memory for a third more time."""

from __future__ import annotations

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
