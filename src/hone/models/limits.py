"""What the machine can do at most, measured, and what a model asks of it.

A forward pass multiplies every token with every matrix of the model but the input embedding, so it takes at least
``2 · matrix_parameters`` floating-point operations per token, the backward pass twice as many; attention comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from hone.models.logits import inner


def matrix_parameters(model: nn.Module) -> int:
    """Weights that every token is multiplied with: all matrices but the input embedding, the tied head once.

    Frozen ones and adapters count. Of a mixture of experts all experts do, more than a token meets.
    """
    base = inner(model)
    embedding = base.get_input_embeddings().weight
    head = base.get_output_embeddings()
    tied = head is not None and head.weight is embedding
    found = sum(p.numel() for p in model.parameters() if p.dim() == 2 and p is not embedding)
    return found + (embedding.numel() if tied else 0)


def matrix_product_rate(
    dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", *, seconds: float = 0.3
) -> float:
    """Floating-point operations per second of large square matrix products, with torch's present threads.

    The best of many short products: what the machine does when nothing disturbs it.
    """
    device = torch.device(device)
    side = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / shortest(lambda: torch.mm(left, right), device, seconds)


def memory_rate(device: torch.device | str = "cpu", *, seconds: float = 0.3) -> float:
    """Bytes per second that can be read from memory: a sum over more than any cache holds."""
    device = torch.device(device)
    count = (1 << 30) if device.type == "cuda" else (1 << 24)
    values = torch.ones(count, device=device)
    return 4 * count / shortest(values.sum, device, seconds)


def shortest(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """The shortest time of one call, of as many as fit into so many seconds, after one to warm up."""
    best = float("inf")
    with torch.inference_mode():
        work()
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            synchronise(device)
            began = time.perf_counter()
            work()
            synchronise(device)
            best = min(best, time.perf_counter() - began)
    return best


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked; nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_seconds(model: nn.Module, rows: int, dtype: torch.dtype) -> float:
    """Shortest time of multiplying so many rows with every matrix of the model once, nothing else."""
    base = inner(model)
    embedding = base.get_input_embeddings().weight
    shapes = [tuple(p.shape) for p in model.parameters() if p.dim() == 2 and p is not embedding]
    if not shapes:
        return 0.0
    weights = [torch.randn(shape, device=embedding.device, dtype=dtype) for shape in shapes]
    inputs = {size: torch.randn(rows, size, device=embedding.device, dtype=dtype) for _, size in shapes}

    def once() -> None:
        for weight in weights:
            nn.functional.linear(inputs[weight.shape[1]], weight)

    return shortest(once, embedding.device, 0.1)
