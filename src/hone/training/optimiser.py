"""AdamW, its schedule, and its state as safetensors."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hone.training.recipe import OptimiserConfig

Named = Sequence[tuple[str, nn.Parameter]]


def make_optimiser(named: Named, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; matrices decay, vectors do not; values may learn at a rate of their own."""
    parts: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, p in named:
        if p.requires_grad:
            of_value = bool(config.value_lr) and name.startswith(("value_head.", "value_model."))
            parts.setdefault((of_value, p.dim() < 2), []).append(p)
    filled = [
        {
            "params": parts[of_value, vectors],
            "weight_decay": 0.0 if vectors else config.weight_decay,
            "scale": config.value_lr / config.lr if of_value else 1.0,
        }
        for of_value, vectors in sorted(parts)
    ]
    return torch.optim.AdamW(filled, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def learning_rate(config: OptimiserConfig, step: int, steps: int) -> float:
    """Learning rate of step 1..steps: linear warm-up, then constant, linear or cosine down to ``final`` × lr."""
    if step <= config.warmup:
        return config.lr * step / config.warmup
    if config.schedule == "constant":
        return config.lr
    done = (step - config.warmup) / max(steps - config.warmup, 1)
    left = 1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return config.lr * (config.final + (1 - config.final) * left)


def save_optimiser(optimiser: torch.optim.Optimizer, path: Path) -> None:
    """Write moments and step counts, one tensor each, named by parameter number and moment."""
    state = optimiser.state_dict()["state"]
    tensors: dict[str, Tensor] = {}
    for number, moments in state.items():
        for name, value in moments.items():
            tensors[f"{number}.{name}"] = torch.as_tensor(value).detach().cpu().clone().contiguous()
    save_file(tensors, path, metadata={"format": "pt", "names": json.dumps(sorted(tensors))})


def load_optimiser(optimiser: torch.optim.Optimizer, path: Path) -> None:
    """Restore what :func:`save_optimiser` wrote into an optimiser over the same parameters."""
    document = optimiser.state_dict()
    document["state"] = {}
    for name, value in load_file(path).items():
        number, _, moment = name.partition(".")
        document["state"].setdefault(int(number), {})[moment] = value
    optimiser.load_state_dict(document)
