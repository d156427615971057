"""GRPO by TRL on the quickstart's task; passes the gate after every few steps with a snapshot of the weights."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from benchmarks.speed.channel import Channel


class Snapshots(TrainerCallback):  # type: ignore[misc]
    """Writes the weights down and passes the gate before the first step and after every few."""

    def __init__(self, channel: Channel, tokenizer: Any, every: int, folder: Path, tokens: list[int]) -> None:
        self.channel, self.tokenizer, self.every, self.folder, self.tokens = channel, tokenizer, every, folder, tokens

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.channel.gate()

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        if state.global_step % self.every == 0:
            folder = self.folder / f"step-{state.global_step}"
            with self.channel.uncounted():
                model.save_pretrained(folder)
                self.tokenizer.save_pretrained(folder)
            self.channel.gate(snapshot=str(folder), tokens=sum(self.tokens[-self.every :]))


def run(channel: Channel, model: str, questions: str, every: int, seed: int, snapshots: str, **options: Any) -> None:
    rows = json.loads(Path(questions).read_text())
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokens: list[int] = []

    def right(completions: list[str], answer: list[str], completion_ids: Any, **columns: Any) -> list[float]:
        tokens.append(sum(len(ids) for ids in completion_ids))
        return [float(text.strip() == good) for text, good in zip(completions, answer, strict=True)]

    settings: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(),
        "use_cpu": not torch.cuda.is_available(),
        "per_device_train_batch_size": 512,
        "num_generations": 16,
        "max_completion_length": 8,
        "loss_type": "grpo",
        "epsilon": 0.2,
        "learning_rate": 3e-4,
        "lr_scheduler_type": "constant",
        "max_steps": 10_000,
        "seed": seed,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        **options,
    }
    GRPOTrainer(
        model=model,
        reward_funcs=right,
        args=GRPOConfig(**settings),
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": [r[0] for r in rows], "answer": [r[1] for r in rows]}),
        callbacks=[Snapshots(channel, tokenizer, every, Path(snapshots), tokens)],
    ).train()
