"""Generation: hone's engine beside ``transformers.generate``, every completion of a given length."""

from __future__ import annotations

from benchmarks.speed.harness import Case, Variant
from benchmarks.speed.models import MEAN_LENGTH, make_lengths, make_prompts
from benchmarks.speed.plan import Plan

TITLE = "Generation, tokens per second"
PEERS = ("transformers fp32", "transformers bf16")

SHAPES = (
    # size, prompts, samples, mean length, most, rounds
    ("1M", 8, 8, MEAN_LENGTH, 64, 5),
    ("5M", 8, 8, MEAN_LENGTH, 64, 5),
    ("25M", 8, 8, MEAN_LENGTH, 64, 3),
    ("5M", 16, 16, MEAN_LENGTH, 64, 3),
    ("5M", 8, 8, 110, 256, 3),
)


def cases(plan: Plan) -> list[Case]:
    shapes = SHAPES[:2] if plan.quick else SHAPES
    return [_case(plan, *shape) for shape in shapes]


def _case(plan: Plan, size: str, prompts: int, samples: int, mean: int, most: int, rounds: int) -> Case:
    model, facts = plan.model(size)
    lengths = make_lengths(prompts * samples, mean, most)
    work = {"model": model, "prompts": make_prompts(prompts, 16, 48), "lengths": lengths}

    def variant(job: str, dtype: str) -> Variant:
        return Variant(job, {**work, "dtype": dtype}, peer=job.startswith("peer"), threads=plan.threads)

    return Case(
        f"{size}, {prompts}×{samples}, mean length {sum(lengths) / len(lengths):.0f}, most {max(lengths)}",
        {
            "transformers fp32": variant("peer_generation", "float32"),
            "transformers bf16": variant("peer_generation", "bfloat16"),
            "hone fp32": variant("hone_generation", "float32"),
            "hone bf16": variant("hone_generation", "bfloat16"),
        },
        rounds=3 if plan.quick else rounds,
        budget=60,
        facts={**facts, "tokens": sum(lengths), "lengths": lengths},
    )
