"""Sampled accuracy of a model directory on held-out questions of the quickstart's task."""

from __future__ import annotations

from benchmarks.speed.channel import Channel
from hone.engines.base import Sampling
from hone.evaluate.model import EvalConfig, evaluate_model
from hone.models.policy import load
from hone.reproduce.quickstart import TASK


def run(channel: Channel) -> None:
    model = channel.gate()
    while True:
        config = EvalConfig(questions=2000, greedy=False)
        found, _ = evaluate_model(load(model), TASK, Sampling(max_tokens=8), config)
        model = channel.gate(accuracy=found.accuracy.value)
