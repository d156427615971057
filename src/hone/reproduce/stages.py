"""Stages of a reproduction: each is a run that is made, gone on with, or used as it is if it is finished.

So a reproduction that was stopped goes on where it stood when it is called again with the same folder.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hone.evaluate.estimates import t_mean
from hone.models.policy import Policy, load
from hone.training.fit import FitRecipe, fit
from hone.training.online import train_online
from hone.training.recipe import Recipe
from hone.training.reward import RewardRecipe, train_reward
from hone.training.run import Run


def fit_stage(recipe: FitRecipe) -> Run:
    """Pretrain or fine-tune, unless that is done."""
    run = Run(Path(recipe.run.out))
    if not _finished(run, recipe.run.steps):
        fit(recipe, resume=_begun(run))
    return run


def online_stage(recipe: Recipe) -> Run:
    """Train online, unless that is done."""
    run = Run(Path(recipe.run.out))
    if not _finished(run, recipe.run.steps):
        train_online(recipe, load(recipe.model), run, resume=_begun(run))
    return run


def reward_stage(recipe: RewardRecipe) -> Run:
    """Train a reward model, unless that is done."""
    run = Run(Path(recipe.run.out))
    if not _finished(run, recipe.run.steps):
        train_reward(recipe, resume=_begun(run))
    return run


def policy_of(run: Run) -> Policy:
    """The final model of a run."""
    return load(str(run.model))


def seconds_of(*runs: Run) -> float:
    """Seconds the runs' steps took, evaluation and all checkpoints but the last included; no loading, no imports."""
    return float(sum(row["seconds_step"] + row.get("seconds_checkpoint", 0.0) for run in runs for row in run.metrics))


def tokens_of(run: Run) -> int:
    """Tokens a run generated (online) or was trained on (supervised)."""
    return int(sum(row["tokens"] for row in run.metrics))


def seed_folder(out: Path, seed: int) -> Path:
    """Where a seed's runs go: the first in ``out`` itself, the others beside them."""
    return out if seed == 0 else out / f"seed-{seed}"


def seed_table(seeds: Sequence[int], measures: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """One row per measure, one column per seed, then mean and spread."""
    rows = []
    for name, values in measures.items():
        row = {
            "measure": name.replace("_", " "),
            **{f"seed {s}": _short(v) for s, v in zip(seeds, values, strict=True)},
        }
        if len(seeds) > 1:
            mean = t_mean(list(values))
            row |= {"mean": _short(mean.value), "± (95 %)": _short((mean.high - mean.low) / 2)}
        rows.append(row)
    return rows


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"


def _begun(run: Run) -> bool:
    return (run.path / "config.toml").exists()


def _finished(run: Run, steps: int) -> bool:
    rows = run.metrics
    done = run.model.exists() and bool(rows) and rows[-1]["step"] >= steps
    if done:
        print(f"{run.path}: finished before, used as it is", file=sys.stderr)
    return done
