"""Which forward path a model can be trusted with: decided by comparing logits, not by architecture."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from hone.core.seeding import generator
from hone.engines.bodies import AttendingBody, Body, CopiedBody, MaskedBody, device_of
from hone.engines.forward import CachedForward, Forward, ReferenceForward
from hone.engines.fused import FusedBody
from hone.engines.masks import candidates, text_config
from hone.models.attention import switchable
from hone.models.precision import casts, compute_dtype
from hone.models.windows import narrowed, unknown_limit

log = logging.getLogger(__name__)

Guard = type[torch.no_grad] | type[torch.inference_mode]

_FUSED = 64_000_000
"""Only models of up to this many parameters are run from copies of their weights: beyond it arithmetic is all."""


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


def choose(model: nn.Module, *, pad_id: int, max_length: int | None, dtype: torch.dtype | None = None) -> Choice:
    """The fast path if it gives this model's logits, else the reference path.

    Args:
        model: in evaluation mode.
        pad_id: any valid id.
        max_length: the longest row there will be.
        dtype: compute in it, from a copy of the weights; None computes as the learner does.
    """
    before = _held(model)
    reason = "its layers are of a kind the slot cache does not know"
    device = device_of(model)
    makers = _bodies(model, max_length, dtype)
    if limit := unknown_limit(model):
        makers, reason = [], limit
    for make in makers:
        try:
            with narrowed(model):
                cached = CachedForward(make(), device=device, pad_id=pad_id)
                error = difference(model, cached)
        except Exception as fault:  # an architecture may refuse the cache or the mask in any way it likes
            reason = f"{type(fault).__name__}: {fault}"
            continue
        if error <= tolerance(dtype or compute_dtype(model)):
            body = make()
            pure = _held(model) == before and (isinstance(body, FusedBody) or not casts(model))
            guard: Guard = torch.inference_mode if pure else torch.no_grad
            return Choice(CachedForward(body, device=device, pad_id=pad_id), "cached", guard)
        reason = f"logits differ by {error:.1e} of their spread"
    log.warning("the engine runs whole rows at every step for %s: %s", type(model).__name__, reason)
    return Choice(ReferenceForward(model, pad_id=pad_id), "reference", torch.no_grad)


def _bodies(model: nn.Module, max_length: int | None, dtype: torch.dtype | None) -> list[Callable[[], Body]]:
    """The ways to run a model that may be right, fastest first; made inside the narrowed window."""
    makers: list[Callable[[], Body]] = []
    small = sum(p.numel() for p in model.parameters()) <= _FUSED
    if small and max_length is not None and device_of(model).type == "cpu":
        makers.append(partial(FusedBody, model, dtype or compute_dtype(model), max_length))
    if dtype is not None:
        return [*makers, partial(CopiedBody, model, dtype)] if switchable(model) else makers
    if switchable(model):
        makers.append(partial(AttendingBody, model))
    # The form is made anew each time: it holds the width of the window, narrowed or not.
    count = len(candidates(text_config(model), max_length))
    return [*makers, *(partial(_masked, model, max_length, number) for number in range(count))]


def _masked(model: nn.Module, max_length: int | None, number: int) -> Body:
    return MaskedBody(model, candidates(text_config(model), max_length)[number])


def tolerance(dtype: torch.dtype) -> float:
    """The largest relative difference that rounding explains: 1e-3 computing in float32, 5e-2 in half precision."""
    return 1e-3 if dtype in (torch.float32, torch.float64) else 5e-2


def difference(model: nn.Module, cached: CachedForward) -> float:
    """``‖cached − full‖ / ‖full − its mean‖`` over the logits of a small run with all that can go wrong.

    Two ragged prompts, steps, a refill that is longer than anything before it, so that the buffers grow and the
    columns wrap around, a row that moves into a hole, a prompt that goes on from a kept row. The full forward runs
    each row alone, without cache, mask or positions of ours.
    """
    draw = generator("engine self-check")
    vocabulary = int(text_config(model).vocab_size)

    def some(count: int) -> list[int]:
        return [int(i) for i in draw.integers(0, vocabulary, count)]

    rows = [some(5), some(8)]
    seen: list[list[Tensor]] = [[], [], [], []]

    def keep(logits: Tensor, which: list[int]) -> None:
        for row, logit_V in zip(which, logits, strict=True):
            seen[row].append(logit_V)

    def step(which: list[int]) -> None:
        new = some(len(which))
        keep(cached.step(np.array(new), 16), which)
        for row, token in zip(which, new, strict=True):
            rows[row].append(token)

    def join(stay: list[int], prompts: list[list[int]], which: list[int]) -> None:
        given = [tuple(prompt) for prompt in prompts]
        source = cached.arrange(np.array(stay, dtype=np.int64), given)
        if given:
            where = np.array([int(np.flatnonzero(source == -1 - i)[0]) for i in range(len(given))])
            keep(cached.add(where, given, (), 16), which)
        live[:] = [live[s] if s >= 0 else which[-1 - s] for s in source.tolist()]

    live: list[int] = []
    with cached.session():
        join([], rows[:2], [0, 1])
        step(live)
        rows.append(some(11))
        join([live.index(1)], rows[2:], [2])
        step(live)
        step(live)
        step(live)
        join([live.index(1)], [], [])
        step(live)
        cached.keep(np.zeros(1, dtype=np.int64), ["kept"], [tuple(rows[1])], 1024)
        rows.append([*rows[1], *some(2)])
        cached.resume("kept", tuple(rows[3]))
        join([], rows[3:], [3])
        step(live)

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
