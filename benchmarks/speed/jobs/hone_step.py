"""One optimiser step of hone on given rollouts: forward, loss, backward, AdamW."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.channel import Channel
from hone.algorithms.grpo import GRPO
from hone.core.types import Completion, Scored, Trajectory, Turn
from hone.models.policy import Policy, load
from hone.models.score import score
from hone.rollout.rows import to_batch
from hone.training.optimiser import make_optimiser
from hone.training.recipe import OptimiserConfig
from hone.training.update import update


def run(channel: Channel, model: str, dtype: str = "float32", **work: Any) -> None:
    learn = learner(load(model, dtype=dtype), **work)
    tokens = 0
    while True:
        channel.gate(tokens=tokens)
        tokens = learn()


def learner(
    policy: Policy, rollouts: str, micro_tokens: int = 16384, options: dict[str, Any] | None = None
) -> Callable[[], int]:
    """A function that makes one optimiser step and returns the number of trained tokens."""
    algorithm = GRPO()
    batch = to_batch(_trajectories(rollouts), policy.pad_id).to(policy.device)
    with torch.no_grad():
        batch = batch.with_(behaviour_logprob=score(policy, batch).logprob)
    state = algorithm.init_state()
    batch = batch.with_(advantage=algorithm.advantages(batch, state))
    optimiser = make_optimiser(list(policy.trainable()), OptimiserConfig(lr=1e-6))
    tokens = int(batch.train.sum())

    def learn() -> int:
        update(policy, optimiser, algorithm, batch, state, micro_tokens=micro_tokens, **(options or {}))
        return tokens

    return learn


def _trajectories(path: str) -> list[Trajectory]:
    found = []
    for row in json.loads(Path(path).read_text()):
        action = Completion(tuple(row["completion"]), (0.0,) * len(row["completion"]), "end")
        turn = Turn(tuple(row["prompt"]), action, "", Scored(row["reward"]))
        found.append(Trajectory(row["group"], row["group"], row["sample"], (turn,)))
    return found
