"""Whether sampling from a half-precision copy of the weights is worth it on this machine: timed once, at start-up."""

from __future__ import annotations

import time

import numpy as np
import torch

from hone.core.seeding import generator
from hone.engines.base import Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.engines.masks import text_config

WORTH = 1.15
"""The copy must be this much faster; below it the rounding is not worth anything."""


def half_pays(policy: object, dtype: torch.dtype = torch.bfloat16, *, rows: int = 64, tokens: int = 8) -> float:
    """How many times as fast the engine generates from a copy in ``dtype`` as it does otherwise.

    Both generate the same amount (``rows`` completions of ``tokens`` tokens without end tokens), in turns, after one
    round to warm up; the medians of three rounds are compared.

    Args:
        policy: a :class:`hone.models.policy.Policy` that computes in float32.
        dtype: of the copy.
        rows: requests.
        tokens: tokens of each.
    """
    engines = [EmbeddedEngine.of(policy), EmbeddedEngine.of(policy, dtype=dtype)]
    if any(engine.mode != "cached" for engine in engines):
        return 0.0
    draw = generator("calibration")
    vocabulary = int(text_config(engines[0].model).vocab_size)
    room = max(2, (engines[0].max_length or 64) // 2)
    prompts = [tuple(int(i) for i in draw.integers(0, vocabulary, min(16, room))) for _ in range(8)]
    sampling = Sampling(max_tokens=min(tokens, room), min_tokens=min(tokens, room))
    requests = [Request(i, prompts[i % len(prompts)], sampling, i) for i in range(rows)]
    seconds: list[list[float]] = [[], []]
    for _ in range(4):
        for engine, taken in zip(engines, seconds, strict=True):
            began = time.perf_counter()
            engine.generate(requests)
            taken.append(time.perf_counter() - began)
    plain, copied = (float(np.median(taken[1:])) for taken in seconds)
    return plain / copied
