"""The dtype a model computes in, where it is narrower than that of its weights.

A weight in bfloat16 has 8 significant bits: AdamW's step of 1e-6 on a weight of 0.02 is less than half of its last
bit and is rounded away, every time. Weights that are trained are therefore held in float32 ("master weights") and
rounded for each forward pass by autocast. Source: Micikevicius et al., arXiv 1710.03740, section 3.1.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from hone.models.logits import inner


def weight_dtype(model: nn.Module) -> torch.dtype:
    """What the weights are held in (an adapter's apart)."""
    dtype = inner(model).get_input_embeddings().weight.dtype
    assert isinstance(dtype, torch.dtype)
    return dtype


def compute_dtype(model: nn.Module) -> torch.dtype:
    """What the forward pass computes in: what :func:`compute_in` asked for, else that of the weights."""
    dtype = getattr(inner(model), "compute_dtype", None)
    return dtype if isinstance(dtype, torch.dtype) else weight_dtype(model)


def compute_in(model: nn.Module, dtype: torch.dtype) -> None:
    """Let forward passes under :func:`computing` use this dtype.

    It is an attribute of the transformers model, so copies of the model have it, and it outlives an adapter that is
    merged.
    """
    inner(model).compute_dtype = dtype


def casts(model: nn.Module) -> bool:
    """Whether the weights are rounded for the forward pass."""
    return compute_dtype(model) != weight_dtype(model)


def computing(model: nn.Module) -> AbstractContextManager[object]:
    """The forward pass inside this block runs in the model's compute dtype; backward belongs outside.

    Matrix products and attention are then in the half dtype; norms, softmax and the residual stream stay float32.
    Where the weights are in the compute dtype already, nothing is changed: an adapter over a frozen half-precision
    model computes its own low-rank product in float32, as peft does.
    """
    if not casts(model):
        return nullcontext()
    device: torch.device = inner(model).get_input_embeddings().weight.device
    return torch.autocast(device.type, dtype=compute_dtype(model))
