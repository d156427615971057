"""Recipes from the command line: a TOML file, then ``--section.key value`` for anything in it."""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hone.core.config import read_toml, set_key
from hone.core.errors import HoneError

_COLUMN = 42
"""Where meanings begin in ``--help``."""


def split_flags(argv: list[str], switches: frozenset[str]) -> tuple[list[str], dict[str, str], set[str]]:
    """Positional arguments, ``--key value`` (or ``--key=value``) settings, and the switches that were given.

    Raises:
        HoneError: a flag without a value.
    """
    positional: list[str] = []
    settings: dict[str, str] = {}
    given: set[str] = set()
    words = iter(argv)
    for word in words:
        if not word.startswith("--"):
            positional.append(word)
            continue
        key, equals, value = word[2:].partition("=")
        key = key.replace("-", "_")
        if key in switches and not equals:
            given.add(key)
            continue
        if not equals:
            found = next(words, None)
            if found is None:
                raise HoneError("a flag has no value", where=f"--{key}")
            value = found
        settings[key] = value
    return positional, settings, given


def literal(text: str) -> Any:
    """A flag's value as TOML would read it; anything that is not TOML is a plain string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def help_table(usage: str, keys: Iterable[tuple[str, str, str]]) -> str:
    """A verb's usage and every key it takes, with default and meaning."""
    lines = [usage.strip(), ""]
    for key, default, meaning in keys:
        flag = f"  --{key} {default}".rstrip()
        text = re.sub(r":\w+:(?=`)", "", meaning).replace("`", "")
        if len(flag) >= _COLUMN:
            lines, flag = [*lines, flag], ""
        lines.append(textwrap.fill(text, 110, initial_indent=f"{flag:<{_COLUMN}}", subsequent_indent=" " * _COLUMN))
    return "\n".join(lines)


def read_recipe(path: str | None, settings: dict[str, str]) -> dict[str, Any]:
    """The tables of a recipe with the command line's settings on top."""
    values = read_toml(Path(path)) if path else {}
    for key, text in settings.items():
        set_key(values, key, literal(text))
    return values


def algorithm_keys(recipe: type, default: str, settings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """The keys of a recipe of the fit stage that has an algorithm, those of the named algorithm among them.

    Args:
        recipe: its dataclass.
        default: the algorithm's name where the settings give none.
        settings: the command line's.
    """
    from hone.core.config import document
    from hone.core.resolve import resolve
    from hone.training.recipe import ONLINE_ONLY, PACKAGES

    name = settings.get("algorithm.name", default)
    for key, value, meaning in document(recipe):
        if key == "algorithm":
            yield "algorithm.name", repr(name), meaning
            yield from document(resolve(name, PACKAGES["algorithm"], "algorithm"), "algorithm.")
        elif key == "data.task":
            yield "data.task.name", "", "a task whose corpus has the prompts instead"
        elif key.removeprefix("run.") not in ONLINE_ONLY:
            yield key, value, meaning


def fit_command(verb: str, usage: str, argv: list[str]) -> None:
    """``hone pretrain`` and ``hone sft``: the same recipe, with and without a model to start from."""
    positional, settings, given = split_flags(argv, frozenset({"help", "resume"}))
    if "help" in given:
        print(help_table(usage, _fit_keys(verb, settings)))
        return
    if len(positional) > 1:
        raise HoneError(f"hone {verb} takes one recipe", got=" ".join(positional), do=f"hone {verb} --help")
    values = read_recipe(positional[0] if positional else None, settings)
    if verb == "sft" and "model" not in values:
        raise HoneError("there is no model to fine-tune", where="model.path", do="give --model.path DIR")
    if verb == "pretrain" and "model" in values:
        raise HoneError("pretraining starts from scratch", where="[model]", do="use `hone sft` to go on with a model")

    from hone.report.page import write_report
    from hone.training.build import fit_recipe_from
    from hone.training.fit import fit

    made = fit(fit_recipe_from(values, where=positional[0] if positional else verb), resume="resume" in given)
    print(f"model: {made.model}   report: {write_report(made.path)}")


def _fit_keys(verb: str, settings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """The keys that this verb takes; those of a task too where one is named."""
    from hone.core.config import document
    from hone.core.resolve import resolve
    from hone.training.fit import FitRecipe, SftRecipe
    from hone.training.recipe import ONLINE_ONLY, PACKAGES

    name = settings.get("data.task.name")
    refused = {"pretrain": ("model.",), "sft": ("tiny.", "tokenizer", "vocabulary")}[verb]
    for key, default, meaning in document({"pretrain": FitRecipe, "sft": SftRecipe}[verb]):
        if key == "data.task":
            yield "data.task.name", repr(name) if name else "", meaning
            if name:
                yield from document(resolve(name, PACKAGES["task"], "task"), "data.task.")
        elif key == "algorithm":
            yield "algorithm.name", repr("nll"), meaning
        elif not key.startswith(refused) and key.removeprefix("run.") not in ONLINE_ONLY:
            yield key, default, meaning
