"""Sampling with hone's embedded engine; lengths are given: no token ends a completion, its limit does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.speed.channel import Channel
from hone.core.seeding import key
from hone.engines.base import Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.models.policy import Policy, load


def run(channel: Channel, model: str, dtype: str = "float32", **work: Any) -> None:
    generate = generator(load(model, dtype="float32"), dtype=dtype, **work)
    made = 0
    while True:
        channel.gate(tokens=made)
        made = generate()


def generator(
    policy: Policy, prompts: list[list[int]], lengths: list[int], dtype: str = "float32", slots: int | None = None
) -> Callable[[], int]:
    """A function that samples every completion once and returns the number of tokens.

    In half precision it samples from a copy of the weights (``engine.sampler_dtype`` in a recipe).
    """
    engine = EmbeddedEngine(
        policy.model,
        policy.tokenizer,
        pad_id=policy.pad_id,
        end_ids=frozenset(),
        slots=slots,
        max_length=policy.max_length,
        dtype=None if dtype == "float32" else getattr(torch, dtype),
    )
    each = len(lengths) // len(prompts)
    turn = 0

    def generate() -> int:
        nonlocal turn
        turn += 1
        engine.sync(turn)
        requests = [
            Request(i, tuple(prompts[i // each]), Sampling(max_tokens=n), key(turn, i)) for i, n in enumerate(lengths)
        ]
        made = sum(len(completion.tokens) for completion in engine.generate(requests))
        assert made == sum(lengths)
        return made

    return generate
