"""A whole GRPO step: sampling, rewards, advantages, update, metrics; hone's loop beside TRL's GRPOTrainer."""

from __future__ import annotations

from benchmarks.speed.harness import Case, Variant
from benchmarks.speed.models import make_prompts
from benchmarks.speed.plan import Plan

TITLE = "Whole GRPO step, 8 prompts × 8 samples, at most 64 tokens"
PEERS = ("TRL fp32", "TRL bf16")


def cases(plan: Plan) -> list[Case]:
    shapes = [("1M", 0.0), ("5M", 0.0)] if plan.quick else [(s, b) for s in ("1M", "5M") for b in (0.0, 0.04)]
    return [_case(plan, *shape) for shape in shapes]


def _case(plan: Plan, size: str, beta: float) -> Case:
    model, facts = plan.model(size)
    prompts = make_prompts(8, 16, 48)
    questions = plan.questions(prompts)

    def trl(**options: object) -> Variant:
        settings = {"model": model, "prompts": prompts, "samples": 8, "beta": beta, **options}
        return Variant("trl_grpo", settings, peer=True, threads=plan.threads)

    def hone(**settings: object) -> Variant:
        algorithm = {"name": "grpo", "beta": beta}
        work = {"model": model, "questions": questions, "prompts": 8, "samples": 8, "algorithm": algorithm}
        return Variant("hone_loop", {**work, **settings}, threads=plan.threads)

    variants = {
        "TRL fp32": trl(bf16=False, gradient_checkpointing=False),
        "TRL bf16": trl(bf16=True, gradient_checkpointing=False),
        "TRL default (bf16, checkpointing)": trl(),
        "hone fp32": hone(),
        "hone bf16": hone(dtype="bfloat16"),
    }
    if plan.quick or beta:
        del variants["TRL default (bf16, checkpointing)"]
    return Case(f"{size}, β = {beta:g}", variants, rounds=3 if plan.quick else 5, warmup=2, budget=45, facts=facts)
