"""The engine of a run: what its recipe leaves open is found out once, at the start, and written to config.toml."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import torch

from hone.core.errors import HoneError
from hone.engines.base import Engine
from hone.engines.calibration import WORTH, half_pays
from hone.engines.embedded import EmbeddedEngine
from hone.models.policy import Policy
from hone.models.precision import compute_dtype
from hone.training.recipe import EngineConfig, Recipe
from hone.training.run import Run


def settle(recipe: Recipe, policy: Policy, begun: Run | None) -> Recipe:
    """The recipe with ``engine.sampler_dtype`` decided (law 11: a choice made by timing is made once).

    Args:
        recipe: perhaps with "auto".
        policy: the learner.
        begun: the run that is resumed, which has decided; None where one begins.

    Raises:
        HoneError: a copy in another dtype for a learner that computes in half precision itself.
    """
    wanted = recipe.engine.sampler_dtype
    if wanted == "auto":
        written: Any = begun.config.get("engine", {}).get("sampler_dtype") if begun is not None else None
        found: Any = written or ("bfloat16" if _pays(recipe, policy) else "learner")
        return dataclasses.replace(recipe, engine=EngineConfig(recipe.engine.slots, found))
    if wanted != "learner" and compute_dtype(policy.model) != torch.float32:
        raise HoneError(
            "the learner computes in half precision already",
            where="engine.sampler_dtype",
            got=f'"{wanted}"',
            expected='"learner" or "auto"',
        )
    return recipe


def engine_for(recipe: Recipe, policy: Policy) -> EmbeddedEngine:
    """The embedded engine as a settled recipe wants it."""
    dtype = None if recipe.engine.sampler_dtype == "learner" else getattr(torch, recipe.engine.sampler_dtype)
    return EmbeddedEngine.of(policy, slots=recipe.engine.slots or None, dtype=dtype)


def need_defaults(config: EngineConfig, engine: Engine) -> None:
    """Refuse options of the embedded engine beside an engine that was passed in.

    Raises:
        HoneError: an option that would have no effect.
    """
    for field in dataclasses.fields(config):
        if (value := getattr(config, field.name)) != field.default:
            raise HoneError(
                f"engine.{field.name} is an option of the embedded engine, and another one was passed in",
                got=repr(value),
                do=f"leave it out, or give it to your {type(engine).__name__}",
            )


def _pays(recipe: Recipe, policy: Policy) -> bool:
    algorithm = recipe.algorithm
    corrects = any(getattr(algorithm, name, None) is not None for name in ("tis", "mis"))
    if not corrects or compute_dtype(policy.model) != torch.float32:
        return False
    faster = half_pays(policy)
    chosen = faster >= WORTH
    verdict = "used" if chosen else "not used"
    print(f"sampling from a bfloat16 copy is {faster:.2f} times as fast here: {verdict}", file=sys.stderr)
    return chosen
