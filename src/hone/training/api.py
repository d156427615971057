"""Training from Python: one call."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from hone.algorithms.base import Algorithm
from hone.core.config import build
from hone.core.errors import HoneError, nearest
from hone.engines.base import Engine, Sampling
from hone.envs.base import Task
from hone.models.policy import Policy, load
from hone.training.online import train_online
from hone.training.recipe import BatchConfig, EngineConfig, OptimiserConfig, PtxConfig, Recipe, RunConfig
from hone.training.run import Run

SECTIONS: dict[str, Any] = {
    "sampling": Sampling,
    "batch": BatchConfig,
    "engine": EngineConfig,
    "optimiser": OptimiserConfig,
    "run": RunConfig,
}


def train(
    model: Policy | str,
    task: Task,
    algorithm: Algorithm,
    *,
    resume: bool = False,
    engine: Engine | None = None,
    ptx: PtxConfig | None = None,
    reference: str = "",
    **settings: Any,
) -> Run:
    """Train a policy online and return its run.

    Args:
        model: a loaded policy, or the directory or hub id of one.
        task: what to learn, for example ``Questions("train.jsonl")`` or ``Addition()``.
        algorithm: how, for example ``GRPO()``.
        resume: go on with the run in ``out``.
        engine: samples completions; the embedded engine by default.
        ptx: pretraining text beside the rollouts.
        reference: a model that the KL is measured to; "" is the policy as the run begins.
        settings: any field of :class:`Sampling`, :class:`BatchConfig`, :class:`EngineConfig`,
            :class:`OptimiserConfig` or
            :class:`RunConfig` by its name: ``prompts=32, samples=16, lr=3e-4, max_tokens=8, steps=60``.

    Raises:
        HoneError: an unknown setting, or anything preflight refuses.
    """
    policy = load(model) if isinstance(model, str) else model
    sections = sort_settings(settings)
    recipe = Recipe(
        policy.config,
        task,
        algorithm,
        ptx=ptx,
        reference=reference,
        allow_truncated_sampling=bool(sections.pop("allow_truncated_sampling", False)),
        **{name: build(cls, sections[name], f"[{name}]") for name, cls in SECTIONS.items()},
    )
    run = Run(Path(recipe.run.out))
    train_online(recipe, policy, run, resume=resume, engine=engine)
    return run


def sort_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Flat settings sorted into the recipe's sections; every field name belongs to just one section.

    Raises:
        HoneError: a name that no section knows.
    """
    home = {f.name: section for section, cls in SECTIONS.items() for f in dataclasses.fields(cls)}
    sorted_: dict[str, Any] = {section: {} for section in SECTIONS}
    for name, value in settings.items():
        if name == "allow_truncated_sampling":
            sorted_[name] = value
        elif name not in home:
            raise HoneError("unknown setting", got=f'"{name}"', expected=nearest(name, home))
        else:
            sorted_[home[name]][name] = value
    return sorted_
