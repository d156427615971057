"""Sampling with hone's embedded engine; lengths are given: no token ends a completion, its limit does."""

from __future__ import annotations

import torch

from benchmarks.speed.channel import Channel
from hone.core.seeding import key
from hone.engines.base import Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.models.policy import load


def run(
    channel: Channel,
    model: str,
    prompts: list[list[int]],
    lengths: list[int],
    dtype: str = "float32",
    slots: int = 256,
) -> None:
    policy = load(model, dtype=dtype)
    engine = EmbeddedEngine(
        policy.model,
        policy.tokenizer,
        pad_id=policy.pad_id,
        end_ids=frozenset(),
        slots=slots,
        max_length=policy.max_length,
    )
    if policy.device.type == "cuda":
        torch.cuda.synchronize()
    each = len(lengths) // len(prompts)
    made, turn = 0, 0
    while True:
        channel.gate(tokens=made, mode=engine.mode)
        turn += 1
        engine.sync(turn)
        requests = [
            Request(i, tuple(prompts[i // each]), Sampling(max_tokens=n), key(turn, i)) for i, n in enumerate(lengths)
        ]
        done = engine.generate(requests)
        made = sum(len(completion.tokens) for completion in done)
        assert made == sum(lengths)
