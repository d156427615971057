"""Learn to answer as if guidelines stood before every prompt (context distillation).

usage: hone distill [RECIPE.toml] --guidelines TEXT --data.source SOURCE --model.path DIR [--resume] [--key VALUE ...]

for example   hone distill --guidelines "Answer in one sentence. " --data.source prompts.jsonl --model.path runs/sft

SOURCE is a file (JSONL, Parquet) or a hub data set with a column prompt. The model answers every prompt with the
guidelines in its context and learns these answers without them.
"""

from __future__ import annotations

from collections.abc import Iterator

from hone.cli._recipes import algorithm_keys, help_table, read_recipe, split_flags
from hone.core.errors import HoneError


def run(argv: list[str]) -> None:
    """Build the recipe, train, write the report."""
    positional, settings, given = split_flags(argv, frozenset({"help", "resume"}))
    if "help" in given:
        print(help_table(__doc__ or "", _keys(settings)))
        return
    if len(positional) > 1:
        raise HoneError("hone distill takes one recipe", got=" ".join(positional), do="hone distill --help")
    values = read_recipe(positional[0] if positional else None, settings)

    from hone.report.page import write_report
    from hone.training.build import distill_recipe_from
    from hone.training.distilling import distill

    made = distill(distill_recipe_from(values, positional[0] if positional else "distill"), resume="resume" in given)
    print(f"model: {made.model}   report: {write_report(made.path)}")


def _keys(settings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    from hone.training.distilling import DistillRecipe

    return algorithm_keys(DistillRecipe, "distill", settings)
