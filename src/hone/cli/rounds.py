"""Rounds of collecting data with the policy and fitting it again: iterated RLHF and the like.

usage: hone rounds RECIPE.toml [--resume] [--section.key VALUE ...]

A recipe has the tables [model], [task], [rounds] and [run], and one for each inner fit of the kind of rounds. What a
killed or waiting run has done is used as it is: --resume goes on in the middle of any stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hone.cli._recipes import help_table, read_recipe, split_flags
from hone.core.errors import HoneError


def run(argv: list[str]) -> None:
    """Build the recipe, do the rounds, write the report."""
    positional, settings, given = split_flags(argv, frozenset({"help", "resume"}))
    if "help" in given:
        print(help_table(__doc__ or "", _keys(settings)))
        return
    if len(positional) != 1:
        raise HoneError("hone rounds takes one recipe", got=" ".join(positional) or "none", do="hone rounds --help")
    values = read_recipe(positional[0], settings)

    from hone.report.page import write_report
    from hone.training.build import rounds_recipe_from
    from hone.training.rounds.base import WaitingError, train_rounds

    recipe = rounds_recipe_from(values, positional[0])
    try:
        made = train_rounds(recipe, resume="resume" in given)
    except WaitingError:
        write_report(Path(recipe.run.out))  # whoever waits would like to see what there is
        raise
    print(f"model: {made.model}   report: {write_report(made.path)}")


def _keys(settings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    from hone.core.config import document
    from hone.core.resolve import names, resolve
    from hone.training.recipe import PACKAGES
    from hone.training.rounds.base import RoundsRecipe

    task = settings.get("task.name", "reviews")
    for key, default, meaning in document(RoundsRecipe):
        if key == "task":
            yield "task.name", repr(task), "which task; its keys follow"
            yield from document(resolve(task, PACKAGES["task"], "task"), "task.")
        elif key == "rounds":
            known = names(PACKAGES["rounds"])
            name = settings.get("rounds.name") or next(iter(known), "")
            yield "rounds.name", repr(name), f"which kind ({', '.join(known)}); its keys follow"
            if name:
                yield from _kind_keys(resolve(name, PACKAGES["rounds"], "rounds"), settings)
        else:
            yield key, default, meaning


def _kind_keys(kind: type, settings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    from hone.core.config import document

    inner = getattr(kind, "inner", {})
    yield from (row for row in document(kind, "rounds.") if row[0].split(".")[1] not in inner)
    for name, section in inner.items():
        yield from section.keys(f"{name}.", settings)
