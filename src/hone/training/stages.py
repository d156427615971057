"""Runs as stages of something longer: each in a folder of its own; made, gone on with, or used if it is finished.

So whatever is made of such stages goes on where it stood when it is called again with the same folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from hone.models.policy import load
from hone.training.fit import FitRecipe, fit
from hone.training.online import train_online
from hone.training.recipe import Recipe
from hone.training.reward import RewardRecipe, train_reward
from hone.training.run import Run


def stage(out: str, steps: int, make: Callable[[Run, bool], object]) -> Run:
    """A run as a stage.

    Args:
        out: its folder.
        steps: a run of so many steps with a published model is finished.
        make: ``make(run, resume)`` makes the run, or goes on with it.
    """
    run = Run(Path(out))
    rows = run.metrics
    if run.model.exists() and rows and rows[-1]["step"] >= steps:
        print(f"{run.path}: finished before, used as it is", file=sys.stderr)
    else:
        make(run, run.exists)
    return run


def fit_stage(recipe: FitRecipe) -> Run:
    """Pretrain or fine-tune, unless that is done."""
    return stage(recipe.run.out, recipe.run.steps, lambda run, resume: fit(recipe, resume=resume))


def online_stage(recipe: Recipe) -> Run:
    """Train online, unless that is done."""
    return stage(
        recipe.run.out,
        recipe.run.steps,
        lambda run, resume: train_online(recipe, load(recipe.model), run, resume=resume),
    )


def reward_stage(recipe: RewardRecipe) -> Run:
    """Train a reward model, unless that is done."""
    return stage(recipe.run.out, recipe.run.steps, lambda run, resume: train_reward(recipe, resume=resume))
