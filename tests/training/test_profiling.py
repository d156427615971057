"""Where a step goes: the arithmetic of phases and advice by hand, and real steps of small recipes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from policies import ARCHITECTURES
from toy import Echo

from hone.algorithms.grpo import GRPO
from hone.core.spans import Event
from hone.engines.base import Sampling
from hone.models.config import LoraConfig, ModelConfig
from hone.models.policy import Policy, load
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer
from hone.training import advice
from hone.training.phases import Phase, phases
from hone.training.profiling import Profile, profile
from hone.training.recipe import BatchConfig, Recipe, RunConfig


def recipe(out: Path | str = "nowhere", **more: object) -> Recipe:
    settings = {
        "sampling": Sampling(max_tokens=3),
        "batch": BatchConfig(prompts=4, samples=3),
        "run": RunConfig(out=str(out), save_every=20, evaluate_every=5, evaluate_questions=4),
        **more,
    }
    return Recipe(ModelConfig("none"), Echo(), GRPO(), **settings)  # type: ignore[arg-type]


def event(path: str, seconds: float, **counts: float) -> Event:
    return Event(tuple(path.split("/")), seconds, counts)


def policy(architecture: str = "llama") -> Policy:
    return create_tiny(
        TinyConfig(architecture, width=16, layers=2, heads=2, max_length=32), char_tokenizer("abcd=#"), 0
    )


def test_phases_share_out_what_is_rare_and_leave_nothing_over() -> None:
    measured = [
        event("rollout/decode", 4.0, rows=3),
        event("rollout/sample", 1.0),
        event("rollout", 0.5),
        event("learn/forward", 6.0),
        event("evaluate/decode", 8.0),
        event("evaluate", 2.0),
        event("score/reference", 3.0),
        event("score/of my own", 0.25),
    ]
    everything = [event("evaluate/decode", 100.0, rows=1), event("rollout", 50.0), *measured, event("checkpoint", 40.0)]
    everything[0] = event("rollout/decode", 100.0)  # the first step, which is not measured
    found = phases(everything, measured, 26.0, 2, recipe(), {"learn": 7.0, "": 1.0})
    assert {name: phase.seconds for name, phase in found.items()} == {
        "decode": 2.0,
        "draw": 0.5,
        "rollout, rest": 0.25,
        "forward": 3.0,
        "old scores, advantages": 0.125,
        "reference scores": 0.3,  # 3 s once, every 10 steps
        "checkpoint": 2.0,  # 40 s once, every 20 steps
        "evaluation": 2.0,  # 10 s once, every 5 steps
        "other": pytest.approx((26 - 24.75) / 2),
    }
    assert found["forward"] == Phase("learning", 3.0, 7.0)
    assert found["decode"].memory is None


def test_reference_scores_that_the_algorithm_needs_are_made_in_every_step() -> None:
    measured = [event("score/reference", 3.0)]
    with_kl = dataclasses.replace(recipe(), algorithm=GRPO(beta=0.1))
    assert phases(measured, measured, 3.0, 2, with_kl, {})["reference scores"].seconds == 1.5


def made(**changes: object) -> Profile:
    """Two steps of 10 s with round numbers."""
    seconds = {"decode": 2.0, "forward": 2.0, "backward": 4.0, "environment": 1.0, "evaluation": 1.0}
    events = [event("rollout/decode", 0.1 + 0.01 * rows, rows=rows) for rows in (10, 20, 30, 40)]
    events += [event("learn/forward", 0.5 + 0.001 * n, tokens=n) for n in (250, 500, 750, 500)]
    plain = Profile(
        recipe=recipe(batch=BatchConfig(prompts=4, samples=3, layout="padded")),
        steps=2,
        seconds=10.0,
        phases={name: Phase("", spent) for name, spent in seconds.items()},
        sampled=100.0,
        real=900.0,
        duplicated=400.0,
        processed=1000.0,
        requests=12.0,
        rows=8.0,
        slots=256,
        zero_signal=0.25,
        parameters=1000,
        limit=1e6,
        peak=500.0,
        device="cpu",
        dtype="bfloat16",
        threads=1000,
        events=events,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def gains(found: Profile, judge: advice.Judge) -> dict[str, float]:
    return {each.setting: each.gain for each in judge(found, policy())}


def test_shares_of_the_limit_count_operations_of_tokens() -> None:
    assert made().generation_share == pytest.approx(2 * 1000 * 100 / 2.0 / 1e6)
    assert made().learning_share == pytest.approx(6 * 1000 * 900 / 6.0 / 1e6)


def test_estimates_by_hand() -> None:
    # Half of 1,000 processed tokens are different ones: half of forward and backward pass.
    assert gains(made(), advice._repeats) == {"batch.layout": pytest.approx(0.5 * 6 / 10)}
    # 0.1 s a decoding step and 10 ms a row: 22.5 ms per token at 8 rows, 16.25 ms at 16.
    assert gains(made(), advice._prompts) == {"batch.prompts": pytest.approx(2.0 * (1 - 16.25 / 22.5) / 10)}
    # Two passes an update become one; each costs 0.5 s before its first token, backward twice that.
    assert gains(made(), advice._micro_tokens) == {"batch.micro_tokens": pytest.approx(0.5 * 3 / 10)}
    assert gains(made(), advice._signal)["batch.samples, or the difficulty of the questions"] == 0.25 * 6 / 10
    assert gains(made(), advice._rarely)["run.evaluate_every"] == 0.05
    full = made(requests=100.0, slots=10, rows=9.0)
    (told,) = gains(full, advice._slots).values()
    assert told == pytest.approx(2.0 * (1 - (0.1 / 36 + 0.01) / (0.1 / 9 + 0.01)) / 10)
    lean = made(recipe=recipe(), phases={"environment": Phase("", 6.0), "forward": Phase("", 4.0)})
    assert gains(lean, advice._grading) == {"the task's graders or environment": 0.3}
    checkpointed = dataclasses.replace(recipe(), model=ModelConfig("none", gradient_checkpointing=True))
    assert gains(made(recipe=checkpointed), advice._checkpointing) == {"model.gradient_checkpointing": 0.2}


def test_nothing_is_advised_that_cannot_help() -> None:
    assert gains(made(slots=15), advice._prompts) == {}  # more than half of the slots are in use
    assert gains(made(processed=500.0), advice._repeats) == gains(made(recipe=recipe()), advice._repeats) == {}
    assert gains(made(), advice._slots) == gains(made(), advice._checkpointing) == gains(made(), advice._grading) == {}
    assert gains(made(), advice._precision) == gains(made(), advice._threads) == {}  # half precision, all threads


def test_only_the_best_are_told_best_first() -> None:
    found = advice.advise(made(), policy())
    assert [each.setting.partition(",")[0] for each in found] == ["batch.layout", "batch.micro_tokens", "batch.samples"]
    assert [each.gain for each in found] == sorted((each.gain for each in found), reverse=True)
    assert all(each.gain >= advice.WORTH for each in found)


def test_a_line_needs_points_that_rise() -> None:
    assert advice.line([(1, 3), (2, 5), (3, 7)]) == pytest.approx((1, 2))
    assert advice.line([(1, 3), (2, 5)]) is None
    assert advice.line([(2, 3), (2, 5), (2, 7)]) is None
    assert advice.line([(1, 7), (2, 5), (3, 3)]) is None


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_real_steps(architecture: str, tmp_path: Path) -> None:
    found = profile(recipe(tmp_path / "mine"), policy(architecture), steps=3)
    assert not (tmp_path / "mine").exists()
    assert found.seconds == pytest.approx(sum(phase.seconds for phase in found.phases.values()))
    named = {"prefill", "decode", "draw", "environment"}
    named |= {"forward", "backward", "optimiser", "rows", "checkpoint", "evaluation"}
    assert named <= {name for name, phase in found.phases.items() if phase.seconds > 0}
    assert found.requests == 12
    assert found.duplicated == 2 * 4 * 2  # two of three samples have the prompt again: 4 prompts of 2 tokens
    assert found.real == pytest.approx(found.sampled + 12 * 2)
    assert found.sampled <= 12 * 3
    assert 1 <= found.rows <= 12
    assert 0 < found.processed <= found.real  # equal beginnings go through the model once
    assert 0 <= found.zero_signal <= 1
    assert found.peak > 50
    advice.advise(found, policy(architecture))


def test_an_adapter_in_any_architecture(tmp_path: Path) -> None:
    for architecture in ARCHITECTURES[1:3]:
        policy(architecture).save(tmp_path / architecture)
        adapted = load(ModelConfig(str(tmp_path / architecture), lora=LoraConfig(rank=2), gradient_checkpointing=True))
        found = profile(dataclasses.replace(recipe(), model=adapted.config), adapted, steps=1)
        assert found.phases["backward"].seconds > 0
        told = {each.setting for each in advice.advise(found, adapted, most=20)}
        assert "model.gradient_checkpointing" in told
    assert torch.get_num_threads() >= 1
