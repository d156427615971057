"""Train a policy on comparisons (DPO) or thumbs (KTO), without a reward model.

usage: hone prefer [RECIPE.toml] --data.source SOURCE --model.path DIR [--resume] [--section.key VALUE ...]

for example   hone prefer --data.source feedback.db --model.path runs/sft
or            hone prefer --data.source thumbs.jsonl --model.path runs/sft --algorithm.name kto

SOURCE is what hone reward reads: a feedback database, a file (JSONL, Parquet) or a hub data set.
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
        raise HoneError("hone prefer takes one recipe", got=" ".join(positional), do="hone prefer --help")
    values = read_recipe(positional[0] if positional else None, settings)

    from hone.report.page import write_report
    from hone.training.build import prefer_recipe_from
    from hone.training.preferences import prefer

    made = prefer(prefer_recipe_from(values, positional[0] if positional else "prefer"), resume="resume" in given)
    print(f"model: {made.model}   report: {write_report(made.path)}")


def _keys(settings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    from hone.training.preferences import PreferRecipe

    return algorithm_keys(PreferRecipe, "dpo", settings)
