"""How the engine grows: with the number of requests, with the size of the model; against the machine's limit."""

from __future__ import annotations

from benchmarks.speed.harness import Case, Variant
from benchmarks.speed.models import MEAN_LENGTH, SIZES, make_lengths, make_prompts
from benchmarks.speed.plan import Plan

TITLE = "Growth of generation"
PEERS = ("matrix products alone, fp32", "matrix products alone, bf16", "64 requests")
PER_TOKEN = True
"""Ratios are of seconds per token: the variants of a case do not all make as many."""
SLOTS = 64


def cases(plan: Plan) -> list[Case]:
    sizes = ("0.3M", "1M") if plan.quick else tuple(SIZES)
    return [_requests(plan), *(_size(plan, size) for size in sizes)]


def _requests(plan: Plan) -> Case:
    """As many slots throughout: what changes is how long the queue is."""
    model, facts = plan.model("1M")
    counts = (64, 256) if plan.quick else (64, 256, 1024, 4096)
    variants = {
        f"{count} requests": Variant(
            "hone_generation",
            {
                "model": model,
                "prompts": make_prompts(count // 8, 16, 48),
                "lengths": make_lengths(count, MEAN_LENGTH, 64),
                "slots": SLOTS,
            },
            threads=plan.threads,
        )
        for count in counts
    }
    cache = SLOTS * (48 + 64) * facts["cache_bytes_per_token"] / 2**20
    name = f"1M, {SLOTS} slots (× longest request: {cache:.0f} MiB)"
    return Case(name, variants, rounds=3, budget=45, facts={**facts, "cache_mib": cache})


def _size(plan: Plan, size: str) -> Case:
    model, facts = plan.model(size)
    count = 64 if size == "100M" else 256
    lengths = make_lengths(count, MEAN_LENGTH, 64)
    work = {"model": model, "prompts": make_prompts(count // 8, 16, 48), "lengths": lengths, "slots": SLOTS}
    limit = {"matrices": facts["matrices"], "tokens": sum(lengths), "rows": SLOTS}
    variants = {}
    for label, dtype in (("fp32", "float32"), ("bf16", "bfloat16")):
        name = f"matrix products alone, {label}"
        variants[name] = Variant("hone_limits", {**limit, "dtype": dtype}, threads=plan.threads)
        variants[f"hone {label}"] = Variant("hone_generation", {**work, "dtype": dtype}, threads=plan.threads)
    return Case(f"{size}, {count} requests, {SLOTS} slots", variants, rounds=3, budget=30, facts=facts)
