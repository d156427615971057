"""The training step: hone's ``update`` in every layout beside TRL's on the same rollouts, and the memory of each."""

from __future__ import annotations

from benchmarks.speed.harness import Case, Variant
from benchmarks.speed.hone_options import layouts
from benchmarks.speed.models import MEAN_LENGTH
from benchmarks.speed.plan import Plan

TITLE = "Training step on given rollouts, 8 × 8"
PEERS = ("TRL fp32", "TRL bf16")

SHAPES = (
    # name, vocabulary, prompt widths, mean length, most, rounds
    ("5M, V = 2,048", 2048, (16, 48), MEAN_LENGTH, 64, 5),
    ("5M, V = 32,000", 32000, (16, 48), MEAN_LENGTH, 64, 3),
    ("5M, V = 2,048, longer", 2048, (96, 160), 110, 256, 3),
)


def cases(plan: Plan) -> list[Case]:
    first, *rest = SHAPES
    if plan.quick:
        return [_case(plan, *first)]
    return [_case(plan, *first, default=True), *(_case(plan, *shape) for shape in rest)]


def _case(
    plan: Plan,
    name: str,
    vocabulary: int,
    widths: tuple[int, int],
    mean: int,
    most: int,
    rounds: int,
    default: bool = False,
) -> Case:
    """One shape; with ``default`` also TRL as it is out of the box."""
    model, facts = plan.model("5M", vocabulary)
    rollouts = plan.rollouts(name.replace(" ", ""), 8, 8, widths, mean, most)

    def trl(**options: object) -> Variant:
        return Variant("trl_step", {"model": model, "rollouts": rollouts, **options}, peer=True, threads=plan.threads)

    def hone(**settings: object) -> Variant:
        return Variant("hone_step", {"model": model, "rollouts": rollouts, **settings}, threads=plan.threads)

    variants = {
        "TRL fp32": trl(bf16=False, gradient_checkpointing=False),
        "TRL bf16": trl(bf16=True, gradient_checkpointing=False),
        "TRL default (bf16, checkpointing)": trl(),
        **{f"hone fp32{label}": hone(options=options) for label, options in layouts().items()},
        "hone bf16": hone(dtype="bfloat16"),
    }
    if not default:
        del variants["TRL default (bf16, checkpointing)"]
    return Case(name, variants, rounds=3 if plan.quick else rounds, budget=75, facts=facts)
