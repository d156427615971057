"""One optimiser step of TRL's GRPOTrainer on given rollouts: its own loss and its trainer's step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from trl import GRPOTrainer

from benchmarks.speed.channel import Channel
from benchmarks.speed.jobs.trl_grpo import Gate, trainer_of
from benchmarks.speed.models import PAD


def run(channel: Channel, model: str, rollouts: str, **options: Any) -> None:
    rows = json.loads(Path(rollouts).read_text())
    given = _inputs(rows)
    tokens = int(given["completion_mask"].sum())

    class Given(GRPOTrainer):  # type: ignore[misc]
        """Everything is TRL's but the rollouts."""

        def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
            return {name: value.to(self.accelerator.device) for name, value in given.items()}

    samples = sum(row["group"] == 0 for row in rows)
    prompts = [row["prompt"] for row in rows if row["sample"] == 0]
    trainer_of(model, prompts, samples, Gate(channel, lambda: tokens), trainer=Given, **options).train()


def _inputs(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """What ``_prepare_inputs`` gives: prompts padded on the left, completions on the right, advantages."""
    prompt, answer = (max(len(row[name]) for row in rows) for name in ("prompt", "completion"))
    reward = torch.tensor([row["reward"] for row in rows])
    group = torch.tensor([row["group"] for row in rows])
    mean = torch.stack([reward[group == g].mean() for g in group])
    deviation = torch.stack([reward[group == g].std() for g in group])
    mask = torch.tensor([[1] * len(r["completion"]) + [0] * (answer - len(r["completion"])) for r in rows])
    return {
        "prompt_ids": torch.tensor([[PAD] * (prompt - len(r["prompt"])) + r["prompt"] for r in rows]),
        "prompt_mask": torch.tensor([[0] * (prompt - len(r["prompt"])) + [1] * len(r["prompt"]) for r in rows]),
        "completion_ids": torch.tensor([r["completion"] + [PAD] * (answer - len(r["completion"])) for r in rows]),
        "completion_mask": mask,
        "advantages": (reward - mean) / (deviation + 1e-4),
        "num_items_in_batch": mask.sum(),
    }
