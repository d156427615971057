"""Which forward path a model can be trusted with: decided by comparing logits, not by architecture."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hone.core.seeding import generator
from hone.engines.forward import CachedForward, Forward, ReferenceForward
from hone.engines.masks import MaskForm, candidates, text_config
from hone.models.precision import casts, compute_dtype

log = logging.getLogger(__name__)

Guard = type[torch.no_grad] | type[torch.inference_mode]

_WINDOW = 4
"""Sliding windows are narrowed to this during the check, so that a dozen tokens run past them."""


@dataclass(frozen=True)
class Choice:
    """How the engine runs a model.

    Attributes:
        forward: the path.
        mode: its name, ``"cached"`` or ``"reference"``.
        guard: ``inference_mode`` (a sixth faster on small models) where a forward pass leaves the model's
            modules as they were, else ``no_grad``: a tensor that a module keeps from inference mode would
            break the learner's backward pass. Also ``no_grad`` where autocast rounds the weights: only there does it
            round them once for many steps.
    """

    forward: Forward
    mode: str
    guard: Guard


def choose(model: nn.Module, *, pad_id: int, slots: int, max_length: int | None) -> Choice:
    """The fast path if it gives this model's logits, else the reference path.

    Args:
        model: in evaluation mode.
        pad_id: any valid id.
        slots: the most rows.
        max_length: the longest row there will be.
    """
    before = _held(model)
    reason = "its layers are of a kind the slot cache does not know"
    forms = candidates(text_config(model), max_length)
    if forms and _stretches(text_config(model), max_length):
        forms, reason = [], "its rotary frequencies change with the length of the text"
    for form in forms:
        with _narrow(text_config(model), form) as narrow:
            try:
                error = difference(model, narrow, pad_id)
            except Exception as fault:  # an architecture may refuse the cache or the mask in any way it likes
                reason = f"{type(fault).__name__}: {fault}"
                continue
        if error <= tolerance(model):
            pure = _held(model) == before and not casts(model)
            guard: Guard = torch.inference_mode if pure else torch.no_grad
            return Choice(CachedForward(model, form, pad_id=pad_id, slots=slots), "cached", guard)
        reason = f"logits differ by {error:.1e} of their spread"
    log.warning("the engine runs whole rows at every step for %s: %s", type(model).__name__, reason)
    return Choice(ReferenceForward(model, pad_id=pad_id), "reference", torch.no_grad)


def tolerance(model: nn.Module) -> float:
    """The largest relative difference that rounding explains: 1e-3 computing in float32, 5e-2 in half precision."""
    return 1e-3 if compute_dtype(model) in (torch.float32, torch.float64) else 5e-2


def difference(model: nn.Module, form: MaskForm, pad_id: int) -> float:
    """``‖cached − full‖ / ‖full − its mean‖`` over the logits of a small run with all that can go wrong.

    Two ragged prompts, steps, a refill that is longer than anything before it and so shifts the live columns,
    a row that moves into a hole. The full forward runs each row alone, without cache, mask or positions of
    ours.
    """
    cached = CachedForward(model, form, pad_id=pad_id, slots=2)
    draw = generator("engine self-check")
    vocabulary = int(text_config(model).vocab_size)

    def some(count: int) -> list[int]:
        return [int(i) for i in draw.integers(0, vocabulary, count)]

    rows = [some(5), some(8)]
    seen: list[list[Tensor]] = [[], [], []]

    def keep(logits: Tensor, which: list[int]) -> None:
        for row, logit_V in zip(which, logits, strict=True):
            seen[row].append(logit_V)

    def step(which: list[int]) -> None:
        new = some(len(which))
        keep(cached.step(new, 16), which)
        for row, token in zip(which, new, strict=True):
            rows[row].append(token)

    keep(cached.add([0, 1], [tuple(r) for r in rows], (), 16), [0, 1])
    step([0, 1])
    rows.append(some(11))
    keep(cached.add([0], [tuple(rows[2])], (), 16), [2])
    step([2, 1])
    cached.move([1], [0], 1)
    step([1])

    error = spread = 0.0
    for row, got in zip(rows, seen, strict=True):
        ids_1T = torch.tensor([row], device=next(model.parameters()).device)
        want_NV = model(input_ids=ids_1T, use_cache=False).logits[0, -len(got) :].float()
        error += float((torch.stack(got) - want_NV).square().sum())
        spread += float((want_NV - want_NV.mean()).square().sum())
    return float(np.sqrt(error / spread)) if spread > 0 else float("inf")


def _held(model: nn.Module) -> list[tuple[int, int]]:
    """Identity and version of every tensor the modules hold: weights, buffers and plain attributes."""
    held = []
    for module in model.modules():
        plain = [value for value in vars(module).values() if isinstance(value, Tensor)]
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False), *plain]
        held += [(id(tensor), tensor._version) for tensor in tensors]
    return held


def _stretches(config: Any, max_length: int | None) -> bool:
    """Whether keys cached early would be rotated otherwise in a longer text (dynamic and long RoPE)."""
    rope = getattr(config, "rope_parameters", None) or {}
    parts = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    trained = getattr(config, "original_max_position_embeddings", None)
    for part in parts:
        if part.get("rope_type") in ("dynamic", "longrope"):
            trained = part.get("original_max_position_embeddings") or trained
            return max_length is None or max_length > (trained or config.max_position_embeddings)
    return False


@contextmanager
def _narrow(config: Any, form: MaskForm) -> Iterator[MaskForm]:
    """Narrow the model's sliding window for a while, and the form's with it."""
    window = form.window
    if window is None:
        yield form
        return
    config.sliding_window = min(window, _WINDOW)
    try:
        yield MaskForm(form.types, form.mapping, config.sliding_window)
    finally:
        config.sliding_window = window
