"""A whole step of PPO beside one of GRPO: time and memory of a critic on the policy's trunk, or of its own."""

from __future__ import annotations

from typing import Any

from benchmarks.speed.harness import Case, Variant
from benchmarks.speed.models import make_prompts
from benchmarks.speed.plan import Plan

TITLE = "Whole step of PPO and of GRPO, 64 answers of at most 64 tokens, β = 0.04"
PEERS = ("GRPO, 8 × 8",)
ALONE = True

GRPO = {"algorithm": {"name": "grpo", "beta": 0.04}}
PPO = {"algorithm": {"name": "ppo", "beta": 0.04}}
SEPARATE: dict[str, Any] = {**PPO, "value": {"model": "separate"}}


def cases(plan: Plan) -> list[Case]:
    return [_case(plan, size) for size in (("1M",) if plan.quick else ("1M", "5M"))]


def _case(plan: Plan, size: str) -> Case:
    model, facts = plan.model(size)
    prompts = make_prompts(64, 16, 48)
    files = {8: plan.questions(prompts[:8]), 64: plan.questions(prompts)}

    def variant(settings: dict[str, Any], count: int) -> Variant:
        work = {"model": model, "questions": files[count], "prompts": count, "samples": 64 // count}
        return Variant("hone_loop", {**work, **settings}, threads=plan.threads)

    variants = {
        "GRPO, 8 × 8": variant(GRPO, 8),
        "PPO, shared trunk, 8 × 8": variant(PPO, 8),
        "PPO, separate critic, 8 × 8": variant(SEPARATE, 8),
        "PPO, shared trunk, 64 × 1": variant(PPO, 64),
        "PPO, separate critic, 64 × 1": variant(SEPARATE, 64),
    }
    return Case(size, variants, rounds=3 if plan.quick else 7, warmup=2, budget=60, facts=facts)
