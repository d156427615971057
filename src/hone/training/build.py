"""Recipes from plain tables: named parts are resolved, everything else is validated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hone.core.config import build, build_named, class_named
from hone.core.errors import HoneError
from hone.core.resolve import short_name
from hone.training.attempts import AttemptsRecipe
from hone.training.distilling import DistillRecipe
from hone.training.fit import FitRecipe, SftRecipe
from hone.training.preferences import PreferRecipe
from hone.training.recipe import PACKAGES, Recipe
from hone.training.reward import RewardRecipe, TinyRewardRecipe
from hone.training.rounds.base import Rounds, RoundsRecipe


def recipe_from(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """An online recipe from the tables of a TOML file.

    Raises:
        HoneError: a missing table, an unknown key or name, a value that is refused.
    """
    values = _with_tables(values, where, model="path", task='name, as "addition"', algorithm='name, as "grpo"')
    for part in ("task", "algorithm"):
        values[part] = build_named(values[part], PACKAGES[part], part, f"{where} [{part}]")
    values = _with_task(values, "ptx", where)
    return build(Recipe, values, where)


def reward_recipe_from(values: Mapping[str, Any], where: str = "recipe") -> RewardRecipe:
    """A reward model's recipe from the tables of a TOML file; without a [model] it is a tiny one from scratch.

    Raises:
        HoneError: a missing table, an unknown key or name, a value that is refused.
    """
    values = _with_tables(values, where, data="source, a file of comparisons")
    values = _with_algorithm(values, RewardRecipe, where)
    return build(RewardRecipe if "model" in values else TinyRewardRecipe, values, where)


def prefer_recipe_from(values: Mapping[str, Any], where: str = "recipe") -> PreferRecipe:
    """A recipe of DPO or KTO from the tables of a TOML file.

    Raises:
        HoneError: a missing table, an unknown key or name, a value that is refused.
    """
    values = _with_tables(values, where, data="source, a file of comparisons or thumbs", model="path")
    return build(PreferRecipe, _with_algorithm(values, PreferRecipe, where), where)


def distill_recipe_from(values: Mapping[str, Any], where: str = "recipe") -> DistillRecipe:
    """A recipe of context distillation from the tables of a TOML file.

    Raises:
        HoneError: a missing table, an unknown key or name, a value that is refused.
    """
    values = _with_tables(values, where, data="source, a file of prompts", model="path")
    if not isinstance(values.get("guidelines"), str):
        raise HoneError("there are no guidelines", where=where, do='give guidelines = "..."')
    values = _with_algorithm(_with_task(values, "data", where), DistillRecipe, where)
    return build(DistillRecipe, values, where)


def fit_recipe_from(values: Mapping[str, Any], where: str = "recipe") -> FitRecipe:
    """A supervised recipe from the tables of a TOML file; with a [model] it is fine-tuning.

    Raises:
        HoneError: a missing table, an unknown key or name, a value that is refused.
    """
    values = _with_tables(values, where, data="source or data.task.name")
    values = _with_algorithm(_with_task(values, "data", where), FitRecipe, where)
    return build(SftRecipe if "model" in values else FitRecipe, values, where)


def attempts_recipe_from(values: Mapping[str, Any], where: str = "recipe") -> AttemptsRecipe:
    """A recipe of a fit on logged attempts from the tables of a TOML file.

    Raises:
        HoneError: a missing table, an unknown key or name, a value that is refused.
    """
    return build(AttemptsRecipe, _with_algorithm(values, AttemptsRecipe, where), where)


def rounds_recipe_from(values: Mapping[str, Any], where: str = "recipe") -> RoundsRecipe:
    """A recipe of rounds from the tables of a TOML file; the inner recipes are tables beside [rounds].

    Raises:
        HoneError: a missing table, an unknown key or name, a value that is refused.
    """
    values = _with_tables(values, where, model="path", task='name, as "reviews"', rounds='name, as "rlhf"')
    values["task"] = build_named(values["task"], PACKAGES["task"], "task", f"{where} [task]")
    kind = class_named(values["rounds"], PACKAGES["rounds"], "rounds", f"{where} [rounds]")
    table = dict(values["rounds"])
    if not issubclass(kind, Rounds):
        raise HoneError(
            "this is no kind of rounds",
            where=f"{where} [rounds]",
            got=f'"{table["name"]}"',
            expected="a dataclass that extends hone.training.rounds.base.Rounds",
        )
    for name, inner in kind.inner.items():
        if name in table:
            raise HoneError(f"[{name}] is a table of its own", where=f"{where} [rounds.{name}]", do=f"write [{name}]")
        table[name] = inner.read(values.pop(name, {}), f"{where} [{name}]")
    values["rounds"] = build_named(table, PACKAGES["rounds"], "rounds", f"{where} [rounds]")
    return build(RoundsRecipe, values, where)


def _with_tables(values: Mapping[str, Any], where: str, **keys: str) -> dict[str, Any]:
    """The tables, among them those whose first key is named here.

    Raises:
        HoneError: one is missing.
    """
    for part, key in keys.items():
        if not isinstance(values.get(part), Mapping):
            raise HoneError(f"the recipe has no [{part}]", where=where, do=f"give {part}.{key}")
    return dict(values)


def _with_algorithm(values: Mapping[str, Any], recipe: type[Any], where: str) -> dict[str, Any]:
    """The tables with the algorithm that they name built; keys without a name are of the recipe's own algorithm."""
    if "algorithm" not in values:
        return dict(values)
    table = values["algorithm"]
    if isinstance(table, Mapping) and "name" not in table:
        (own,) = (f.default_factory for f in dataclasses.fields(recipe) if f.name == "algorithm")
        assert own is not dataclasses.MISSING
        table = {"name": short_name(own(), PACKAGES["algorithm"]), **table}
    return {**values, "algorithm": build_named(table, PACKAGES["algorithm"], "algorithm", f"{where} [algorithm]")}


def _with_task(values: Mapping[str, Any], section: str, where: str) -> dict[str, Any]:
    """The tables with the task that a section of them names built."""
    table = values.get(section)
    if not isinstance(table, Mapping) or not isinstance(table.get("task"), Mapping):
        return dict(values)
    task = build_named(table["task"], PACKAGES["task"], "task", f"{where} [{section}.task]")
    return {**values, section: {**table, "task": task}}
