"""Train a reward model from comparisons, rankings, ratings or thumbs.

usage: hone reward [RECIPE.toml] --data.source SOURCE [--model.path DIR] [--resume] [--section.key VALUE ...]

for example   hone reward --data.source feedback.db --model.path runs/sft
or            hone reward --data.source pairs.jsonl --algorithm.name regression
then          hone train RECIPE.toml --task.graders '[{name = "reward_model", path = "runs/reward"}]'

SOURCE is a feedback database, a file (JSONL, Parquet) or a hub data set with columns chosen and rejected, with or
without prompt, or prompt, completion and label or score. Without a model, a tiny one is trained from scratch.
"""

from __future__ import annotations

from collections.abc import Iterator

from hone.cli._recipes import algorithm_keys, help_table, read_recipe, split_flags
from hone.core.errors import HoneError


def run(argv: list[str]) -> None:
    """Build the recipe, train, evaluate on held-out prompts, write the report."""
    positional, settings, given = split_flags(argv, frozenset({"help", "resume"}))
    if "help" in given:
        print(help_table(__doc__ or "", _keys(settings)))
        return
    if len(positional) > 1:
        raise HoneError("hone reward takes one recipe", got=" ".join(positional), do="hone reward --help")
    values = read_recipe(positional[0] if positional else None, settings)

    import json

    from hone.report.page import write_report
    from hone.training.build import reward_recipe_from
    from hone.training.reward import train_reward

    made = train_reward(reward_recipe_from(values, positional[0] if positional else "reward"), resume="resume" in given)
    summary = made.path / "summary.json"
    if summary.exists():
        print(json.loads(summary.read_text())["headline"])
    print(f"reward model: {made.model}   report: {write_report(made.path)}")


def _keys(settings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    from hone.training.reward import RewardRecipe

    return algorithm_keys(RewardRecipe, "preference", settings)
