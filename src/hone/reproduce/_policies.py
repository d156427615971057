"""The policies of the RLHF reproductions, all from one fine-tuned model, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from hone.algorithms.base import Algorithm
from hone.algorithms.dpo import DPO
from hone.algorithms.kto import KTO
from hone.algorithms.ppo import PPO
from hone.core.files import read_json_lines
from hone.models.config import ModelConfig
from hone.reproduce._rlhf import ANSWERS, BATCH, END, ROWS, SAMPLING, Ground
from hone.reproduce.stages import online_stage, rows_file
from hone.training.feedback import FeedbackConfig
from hone.training.preferences import PreferRecipe, prefer
from hone.training.recipe import BatchConfig, OptimiserConfig, PtxConfig, Recipe, RunConfig
from hone.training.run import Run
from hone.training.stages import stage


def optimise(
    ground: Ground,
    name: str,
    algorithm: Algorithm,
    steps: int,
    *,
    lr: float = 4e-4,
    batch: BatchConfig = BATCH,
    ptx: float = 0.0,
) -> Run:
    """Train the fine-tuned policy against the reward model."""
    return online_stage(
        Recipe(
            ModelConfig(str(ground.sft.model)),
            ground.task,
            algorithm,
            SAMPLING,
            batch,
            OptimiserConfig(lr=lr),
            RunConfig(out=str(ground.out / name), steps=steps, seed=ground.seed, save_every=steps, reference_every=1),
            ptx=PtxConfig(ptx, source=ground.text, max_length=96) if ptx else None,
        )
    )


def ppo(ground: Ground, beta: float, steps: int, ptx: float = 0.0) -> Run:
    """PPO with a fixed weight of the KL, with pretraining text beside it or without."""
    name = f"ppo-{beta:g}" + (f"-ptx-{ptx:g}" if ptx else "")
    return optimise(ground, name, PPO(beta=beta, missing_end=END), steps, ptx=ptx)


def direct(ground: Ground, name: str, algorithm: Algorithm, source: str, passes: int, lr: float) -> Run:
    """Learn what the person said, with neither a reward model nor answers of the policy's own, unless that is done."""
    steps = passes * ground.ranked // ROWS * (ANSWERS if isinstance(algorithm, KTO) else 1)
    recipe = PreferRecipe(
        FeedbackConfig(source, validation=0.0, max_length=96),
        ModelConfig(str(ground.sft.model)),
        algorithm,
        ROWS,
        optimiser=OptimiserConfig(lr=lr, warmup=10, schedule="linear"),
        run=RunConfig(out=str(ground.out / name), steps=steps, seed=ground.seed, save_every=10_000),
    )
    return stage(recipe.run.out, steps, lambda _, resume: prefer(recipe, resume=resume))


def dpo(ground: Ground, beta: float) -> Run:
    """DPO on the rankings that the reward model learns from."""
    return direct(ground, f"dpo-{beta:g}", DPO(beta), ground.rankings, passes=3, lr=3e-4)


def kto(ground: Ground, beta: float) -> Run:
    """KTO on the same rankings as thumbs: one up for the better half of a prompt's answers, one down for the others."""
    rows = [
        {"prompt": row["prompt"], "completion": text, "label": rank <= ANSWERS // 2}
        for row in read_json_lines(Path(ground.rankings))
        for text, rank in zip(row["completions"], row["ranks"], strict=True)
    ]
    thumbs = rows_file(ground.out / "data" / "thumbs.jsonl", rows)
    return direct(ground, f"kto-{beta:g}", KTO(beta), thumbs, passes=3, lr=3e-4)
