"""Both cores: two threads, two processes, and sampling the next batch beside learning from this one.

Two processes share the requests or the rows out; adding up their gradients is not part of the work. Sampling beside
learning is a measurement of what staleness 1 could gain, not something that hone does.
"""

from __future__ import annotations

from typing import Any

from benchmarks.speed.harness import Case, Variant
from benchmarks.speed.models import MEAN_LENGTH, make_lengths, make_prompts
from benchmarks.speed.plan import Plan

TITLE = "Threads and processes"
PEERS = ("1 thread",)
CLOCK = "wall"
"""Whatever is asked for: processor time adds up over threads."""


def cases(plan: Plan) -> list[Case]:
    return _cases(plan, "1M" if plan.quick else "5M")


def _cases(plan: Plan, size: str) -> list[Case]:
    model, facts = plan.model(size)
    prompts, lengths = make_prompts(16, 16, 48), make_lengths(128, MEAN_LENGTH, 64)
    rollouts = [plan.rollouts(f"{size}-{n}", n, 8, (16, 48), MEAN_LENGTH, 64) for n in (16, 8)]
    whole: dict[str, Any] = {"model": model, "prompts": prompts, "lengths": lengths}
    half: dict[str, Any] = {"model": model, "prompts": prompts[:8], "lengths": lengths[:64]}
    learn_whole, learn_half = ({"model": model, "rollouts": path} for path in rollouts)
    all_cores = plan.cores

    def ways(job: str, one: dict[str, Any], part: dict[str, Any]) -> dict[str, Variant]:
        return {
            "1 thread": Variant(job, one),
            f"{all_cores} threads": Variant(job, one, threads=all_cores),
            "2 processes": Variant(job, part, beside=(Variant(job, part),)),
        }

    both = ways("hone_round", {**whole, **learn_whole}, {**half, **learn_half})
    both["next batch beside learning"] = Variant("hone_generation", whole, beside=(Variant("hone_step", learn_whole),))
    rounds = {"rounds": 3 if plan.quick else 5, "budget": 25.0, "facts": facts}
    return [
        Case(f"{size}, sampling 16 × 8", ways("hone_generation", whole, half), **rounds),
        Case(f"{size}, learning 16 × 8", ways("hone_step", learn_whole, learn_half), **rounds),
        Case(f"{size}, both", both, **rounds),
    ]
