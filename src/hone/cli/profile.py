"""Show where the time and memory of a recipe's steps go, and which settings are worth changing.

usage: hone profile RECIPE.toml [--steps N] [--out DIR] [--section.key VALUE ...]

Runs N steps (4 by default) of what `hone train` would run, and one before them to warm up, in a temporary folder: the
recipe's own run directory is not touched. The tables are printed; DIR (runs/profile by default) gets them as a page,
profile.html, with pictures, and as profile.json. Every key that `hone train` takes can be set from the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hone.cli._recipes import literal, read_recipe, split_flags
from hone.core.errors import HoneError


def run(argv: list[str]) -> None:
    """Build the recipe, run some steps of it, print and write the profile."""
    positional, settings, given = split_flags(argv, frozenset({"help"}))
    if "help" in given:
        print((__doc__ or "").strip())
        return
    if len(positional) != 1:
        raise HoneError("hone profile takes one recipe", got=" ".join(positional) or "none", do="hone profile --help")
    steps = _count(settings.pop("steps", "4"))
    out = Path(settings.pop("out", "runs/profile"))
    if out.exists() and not out.is_dir():
        raise HoneError("cannot write here", where=str(out), got="a file", expected="a folder")
    values = read_recipe(positional[0], settings)

    from hone.models.policy import load
    from hone.report.profile import advice_rows, figure_rows, headline, phase_rows, write_profile
    from hone.training.advice import advise
    from hone.training.build import recipe_from
    from hone.training.profiling import profile

    recipe = recipe_from(values, where=positional[0])
    recipe.check()
    policy = load(recipe.model)
    found = profile(recipe, policy, steps=steps)
    advice = advise(found, policy)
    print(headline(found))
    _table("Where a step goes", phase_rows(found))
    _table("Figures", figure_rows(found))
    _table("Worth changing (estimates; change one, then profile again)", advice_rows(advice))
    print(f"page: {write_profile(out, found, advice)}")


def _count(text: str) -> int:
    steps = literal(text)
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise HoneError("the number of steps means nothing", where="--steps", got=text, expected="at least 1")
    return steps


def _table(title: str, rows: Sequence[Mapping[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="right" if name.startswith(("ms", "share", "peak", "value")) else "left")
    shown = ""
    for row in rows:
        first, *rest = row.values()
        table.add_row("" if first == shown and "" in row else first, *rest)
        shown = first
    Console(width=None if _terminal() else 120).print(table)


def _terminal() -> bool:
    import sys

    return sys.stdout.isatty()
