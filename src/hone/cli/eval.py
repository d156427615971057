"""Evaluate a model on held-out questions: accuracy, pass@k, maj@k, with intervals.

usage: hone eval MODEL [RECIPE.toml] [--task.name NAME] [--task.key VALUE ...] [--eval.samples 8] [--out FILE]

for example   hone eval runs/mine recipes/gsm8k.toml
or            hone eval runs/quickstart/grpo --task.name addition --eval.questions 2000 --sampling.max-tokens 8

Of a recipe the tables [task] and [sampling] are taken, so that a model is asked as it was trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hone.cli._recipes import help_table, read_recipe, split_flags
from hone.core.errors import HoneError


def run(argv: list[str]) -> None:
    """Sample, grade, print a table, write the numbers as JSON."""
    positional, settings, given = split_flags(argv, frozenset({"help"}))
    if "help" in given:
        print(help_table(__doc__ or "", _keys(settings)))
        return
    if len(positional) not in (1, 2):
        got = " ".join(positional) or "none"
        raise HoneError("hone eval takes one model and perhaps a recipe", got=got, do="hone eval --help")
    out = settings.pop("out", None)
    recipe_file = positional[1] if len(positional) == 2 else None
    asked = read_recipe(recipe_file, {name: text for name, text in settings.items() if not name.startswith("model.")})
    values = {name: asked[name] for name in asked if recipe_file is None or name in ("task", "sampling", "eval")}
    own = {name: text for name, text in settings.items() if name.startswith("model.")}
    values |= read_recipe(None, {"model.path": positional[0], **own})
    if "task" not in values:
        raise HoneError("there is no task to evaluate on", where="task.name", do="give --task.name NAME")

    from hone.core.config import build, build_named
    from hone.core.files import write_json
    from hone.evaluate.model import EvalRecipe, evaluate_model
    from hone.models.policy import load

    task = build_named(values["task"], "hone.envs.tasks", "task", "[task]")
    recipe = build(EvalRecipe, {**values, "task": task}, "hone eval")
    task.preflight()
    result, _ = evaluate_model(load(recipe.model), task, recipe.sampling, recipe.eval)
    _print(result.plain())
    path = Path(out) if out else Path("runs/eval.json")
    write_json(path, {"model": positional[0], "task": values["task"], **result.plain()})
    failed = f" ({result.failures} that the grader failed on count nowhere)" if result.failures else ""
    print(f"evaluated {result.questions} questions, {result.samples} samples{failed}: {path}")


def _print(plain: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", "95 % interval", "questions", title="held-out evaluation")
    rows = {"accuracy (sampled)": plain["accuracy"], "accuracy (greedy)": plain["greedy"]}
    rows |= {f"pass@{k}": v for k, v in plain["pass_at"].items() if k != "1"}
    rows |= {f"maj@{k}": v for k, v in plain["maj_at"].items() if k != "1"}
    rows |= {f"reward, best of {k}": v for k, v in plain["best_at"].items() if k != "1"}
    rows |= {
        "reward": plain["reward"],
        "tokens per answer": plain["length"],
        "cut short": plain["truncation_rate"],
    }
    rows |= {f"accuracy, {name}": part["accuracy"] for name, part in plain["strata"].items() if name}
    for name, value in rows.items():
        if value and value["value"] is not None:
            interval = f"{value['low']:.3f} – {value['high']:.3f}" if value["low"] is not None else ""
            table.add_row(name, f"{value['value']:.3f}", interval, f"{value['count']:.0f}")
    Console().print(table)


def _keys(settings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    from hone.core.config import document
    from hone.core.resolve import resolve
    from hone.evaluate.model import EvalRecipe

    name = settings.get("task.name", "questions")
    yield "task.name", repr(name), "which task; its keys follow"
    yield from document(resolve(name, "hone.envs.tasks", "task"), "task.")
    yield from (row for row in document(EvalRecipe) if row[0] != "task")
    yield "out", "'runs/eval.json'", "where the numbers go"
