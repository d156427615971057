"""Sampling, then one optimiser step on given rollouts, in one process: what staleness 0 costs."""

from __future__ import annotations

from typing import Any

from benchmarks.speed.channel import Channel
from benchmarks.speed.jobs.hone_generation import generator
from benchmarks.speed.jobs.hone_step import learner
from hone.models.policy import load


def run(channel: Channel, model: str, rollouts: str, dtype: str = "float32", **work: Any) -> None:
    policy = load(model, dtype=dtype)
    generate, learn = generator(policy, **work), learner(policy, rollouts)
    made = 0
    while True:
        channel.gate(tokens=made)
        made = generate()
        learn()
