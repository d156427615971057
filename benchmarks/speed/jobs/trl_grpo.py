"""Whole steps of TRL's GRPOTrainer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from benchmarks.speed.channel import Channel
from benchmarks.speed.models import words
from benchmarks.speed.reward import even_share


class Gate(TrainerCallback):  # type: ignore[misc]
    """The channel's gate stands before every step."""

    def __init__(self, channel: Channel, tokens: Callable[[], int]) -> None:
        self.channel, self.tokens = channel, tokens

    def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.channel.gate(tokens=self.tokens())


def run(channel: Channel, model: str, prompts: list[list[int]], samples: int, **options: Any) -> None:
    made: list[int] = [0]

    def reward(prompts: Any, completions: Any, completion_ids: Any, **columns: Any) -> list[float]:
        made[0] = sum(len(ids) for ids in completion_ids)
        return even_share(prompts, completions)

    trainer_of(model, prompts, samples, Gate(channel, lambda: made[0]), reward=reward, **options).train()


def trainer_of(
    model: str,
    prompts: list[list[int]],
    samples: int,
    gate: TrainerCallback,
    *,
    reward: Callable[..., list[float]] = even_share,
    trainer: type[GRPOTrainer] = GRPOTrainer,
    **options: Any,
) -> GRPOTrainer:
    """A trainer whose optimiser step is ``prompts × samples`` rollouts in one batch, TRL's defaults otherwise."""
    settings: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(),
        "use_cpu": not torch.cuda.is_available(),
        "per_device_train_batch_size": len(prompts) * samples,
        "num_generations": samples,
        "max_completion_length": 64,
        "loss_type": "grpo",
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "max_steps": 100_000,
        "shuffle_dataset": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        **options,
    }
    return trainer(
        model=model,
        reward_funcs=reward,
        args=GRPOConfig(**settings),
        train_dataset=Dataset.from_dict({"prompt": [words(ids) for ids in prompts]}),
        callbacks=[gate],
    )
