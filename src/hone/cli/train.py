"""Train a policy online by a recipe: GRPO, RLOO and the rest.

usage: hone train RECIPE.toml [--resume] [--section.key VALUE ...]

A recipe has the tables [model], [task], [algorithm], [sampling], [batch], [optimiser] and [run]; any key of it can
be set from the command line, for example `hone train recipes/gsm8k.toml --algorithm.beta 0.04 --run.steps 200`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hone.cli._recipes import help_table, read_recipe, split_flags
from hone.core.errors import HoneError


def run(argv: list[str]) -> None:
    """Build the recipe, load the model, train, write the report."""
    positional, settings, given = split_flags(argv, frozenset({"help", "resume"}))
    if "help" in given:
        print(help_table(__doc__ or "", _keys(settings)))
        return
    if len(positional) != 1:
        raise HoneError("hone train takes one recipe", got=" ".join(positional) or "none", do="hone train --help")
    values = read_recipe(positional[0], settings)

    from hone.models.policy import load
    from hone.report.page import write_report
    from hone.training.build import recipe_from
    from hone.training.online import train_online
    from hone.training.run import Run

    recipe = recipe_from(values, where=positional[0])
    recipe.check()
    made = Run(Path(recipe.run.out))
    train_online(recipe, load(recipe.model), made, resume="resume" in given)
    print(f"model: {made.model}   report: {write_report(made.path)}")


def _keys(settings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    from hone.core.config import document
    from hone.core.resolve import resolve
    from hone.training.recipe import PACKAGES, Recipe

    for part in ("task", "algorithm"):
        name = settings.get(f"{part}.name", {"task": "questions", "algorithm": "grpo"}[part])
        yield f"{part}.name", repr(name), f"which {part}; its keys follow"
        yield from document(resolve(name, PACKAGES[part], part), f"{part}.")
    yield from (row for row in document(Recipe) if row[0] not in ("task", "algorithm"))
