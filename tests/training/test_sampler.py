"""What a recipe leaves open about its engine: decided once, written down, taken over by a resumed run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from policies import tiny

from hone.algorithms.grpo import GRPO
from hone.core.errors import HoneError
from hone.engines.scripted import ScriptedEngine
from hone.models.precision import compute_in
from hone.training import sampler
from hone.training.recipe import EngineConfig, Recipe
from hone.training.run import Run
from hone.training.sampler import engine_for, need_defaults, settle


@pytest.fixture
def policy() -> Any:
    return tiny()


def recipe_of(policy: Any, algorithm: Any, slots: int = 0, sampler_dtype: Any = "auto") -> Recipe:
    return Recipe(policy.config, None, algorithm, engine=EngineConfig(slots, sampler_dtype))


@pytest.mark.parametrize(
    ("algorithm", "faster", "found", "timed"),
    [
        (GRPO(), 9.0, "learner", 0),
        (GRPO(tis=2.0), 9.0, "bfloat16", 1),
        (GRPO(tis=2.0), 1.1, "learner", 1),
    ],
)
def test_auto_takes_a_copy_only_where_it_is_corrected_for_and_faster(
    policy: Any, monkeypatch: pytest.MonkeyPatch, algorithm: Any, faster: float, found: str, timed: int
) -> None:
    calls: list[Any] = []

    def pays(policy: Any) -> float:
        calls.append(policy)
        return faster

    monkeypatch.setattr(sampler, "half_pays", pays)
    assert settle(recipe_of(policy, algorithm), policy, None).engine.sampler_dtype == found
    assert len(calls) == timed


def test_a_resumed_run_keeps_what_was_decided(policy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sampler, "half_pays", lambda policy: 0.5)
    run = Run(tmp_path)
    run.begin({"engine": {"sampler_dtype": "bfloat16"}}, resume=False)
    assert settle(recipe_of(policy, GRPO(tis=2.0)), policy, run).engine.sampler_dtype == "bfloat16"
    assert settle(recipe_of(policy, GRPO(), sampler_dtype="learner"), policy, run).engine.sampler_dtype == "learner"


def test_a_learner_in_half_precision_has_no_copy(policy: Any) -> None:
    compute_in(policy.model, torch.bfloat16)
    with pytest.raises(HoneError, match="half precision already"):
        settle(recipe_of(policy, GRPO(), sampler_dtype="float16"), policy, None)
    assert settle(recipe_of(policy, GRPO(tis=2.0)), policy, None).engine.sampler_dtype == "learner"


def test_options_reach_the_engine_and_none_is_without_effect(policy: Any) -> None:
    engine = engine_for(recipe_of(policy, GRPO(), slots=5, sampler_dtype="learner"), policy)
    assert engine.slots == 5
    other = ScriptedEngine(lambda request: "")
    need_defaults(EngineConfig(), other)
    with pytest.raises(HoneError, match="slots is an option of the embedded engine"):
        need_defaults(dataclasses.replace(EngineConfig(), slots=3), other)
