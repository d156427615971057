"""Evaluate a model on held-out questions: accuracy, pass@k, maj@k, turn after turn; or diagnose an agent.

usage: hone eval MODEL [RECIPE.toml] [--task NAME] [--task.key VALUE ...] [--eval.samples 8] [--out FILE]
       hone eval MODEL [RECIPE.toml] --task bandit [--diagnostic NAME] [--diagnostic.key VALUE ...] [--out DIR]

for example   hone eval runs/mine recipes/gsm8k.toml
or            hone eval runs/quickstart/grpo --task addition --eval.questions 2000 --sampling.max-tokens 8
or            hone eval runs/agent --task bandit --task.face.style compact --sampling.max-tokens 1

Of a recipe the tables [task], [sampling], [eval] and [vote] are taken, so that a model is asked as it was trained. Of a
retry task it tells accuracy turn after turn, and votes over turns beside votes of as many parallel answers. An agent
(bandit, tictactoe) is examined by every diagnostic that suits its task, or by the one that is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hone.cli._recipes import help_table, read_recipe, split_flags
from hone.core.errors import HoneError

if TYPE_CHECKING:
    from hone.evaluate.diagnostics.base import Diagnostic
    from hone.evaluate.model import EvalRecipe


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
    for table in ("task", "diagnostic"):
        if table in settings:
            settings[f"{table}.name"] = settings.pop(table)
    recipe_file = positional[1] if len(positional) == 2 else None
    asked = read_recipe(recipe_file, {name: text for name, text in settings.items() if not name.startswith("model.")})
    values = {
        name: asked[name]
        for name in asked
        if recipe_file is None or name in ("task", "sampling", "eval", "vote", "diagnostic")
    }
    own = {name: text for name, text in settings.items() if name.startswith("model.")}
    values |= read_recipe(None, {"model.path": positional[0], **own})
    if "task" not in values:
        raise HoneError("there is no task to evaluate on", where="task.name", do="give --task NAME")

    from hone.core.config import build, build_named
    from hone.envs.tasks.retry import Retry
    from hone.evaluate.model import EvalRecipe
    from hone.evaluate.votes import VoteConfig

    task = build_named(values["task"], "hone.envs.tasks", "task", "[task]")
    diagnostics = _diagnostics(values.pop("diagnostic", None), task)
    recipe = build(EvalRecipe, {**values, "task": task}, "hone eval")
    several = isinstance(task, Retry) and not task.single_turn
    if recipe.vote != VoteConfig() and not several:
        raise HoneError(
            "only attempts of several turns vote", where="[vote]", do='task.name = "retry", or leave it out'
        )
    task.preflight()
    about = {"model": positional[0], "task": values["task"]}
    if diagnostics:
        _diagnose(recipe, diagnostics, about, _folder(positional[0], out))
    elif several:
        _several(recipe, about, positional[0], out)
    else:
        _judge(recipe, about, Path(out) if out else Path("runs/eval.json"))


def _judge(recipe: EvalRecipe, about: dict[str, Any], path: Path) -> None:
    """Answers to questions."""
    from hone.core.files import write_json
    from hone.evaluate.model import evaluate_model
    from hone.models.policy import load

    result, _ = evaluate_model(load(recipe.model), recipe.task, recipe.sampling, recipe.eval)
    _print(result.plain())
    write_json(path, {**about, **result.plain()})
    failed = f" ({result.failures} that the grader failed on count nowhere)" if result.failures else ""
    print(f"evaluated {result.questions} questions, {result.samples} samples{failed}: {path}")


def _diagnostics(named: Any, task: Any) -> list[Diagnostic]:
    """The one that is named, or all that suit the task."""
    from hone.core.config import build_named
    from hone.evaluate.diagnostics.base import PACKAGE, suited

    if named is None:
        return suited(task)
    chosen: Diagnostic = build_named(named, PACKAGE, "diagnostic", "[diagnostic]")
    if not chosen.suits(task):
        raise HoneError(
            "the diagnostic says nothing about this task",
            where="diagnostic.name",
            got=f'"{named["name"]}" on {type(task).__name__}',
            expected=(type(chosen).suits.__doc__ or "").strip(),
        )
    return [chosen]


def _folder(model: str, out: str | None) -> Path:
    """Where an examination goes: into the run that the model is of, or a folder of its own."""
    if out:
        return Path(out)
    own = Path(model)
    places = [place for place in (own, own.parent) if (place / "config.toml").is_file()]
    return places[0] if places and (own == places[0] or own.name == "model") else Path("runs/eval")


def _diagnose(recipe: EvalRecipe, diagnostics: Sequence[Diagnostic], about: dict[str, Any], folder: Path) -> None:
    """Examine an agent: a file, a table and pictures for every diagnostic."""
    from hone.cli._tables import print_rows
    from hone.core.files import write_json
    from hone.models.policy import load
    from hone.report.diagnostics import diagnostic_pictures, diagnostic_rows
    from hone.report.page import write_report
    from hone.report.reproduction import write_reproduction

    policy, asked, found = load(recipe.model), recipe.eval, {}
    for diagnostic in diagnostics:
        values = diagnostic.of_model(policy, recipe.task, recipe.sampling, asked.split, asked.seed)
        name = str(values["diagnostic"])
        found[name] = values
        write_json(folder / "evals" / f"{name}.json", {**about, **values})
        print_rows(diagnostic_rows(values), name.replace("_", " "))
    if (folder / "config.toml").is_file():
        page = write_report(folder)
    else:
        page = write_reproduction(
            folder / "report.html",
            status="examination of an agent",
            title=about["task"]["name"],
            headline=f"{', '.join(found).replace('_', ' ')}: {about['model']}",
            facts={"Model": about["model"], "Split": asked.split, "Seed": str(asked.seed)},
            checks=[],
            pictures=[drawn for values in found.values() for drawn in diagnostic_pictures(values)],
            tables={name.replace("_", " "): diagnostic_rows(values) for name, values in found.items()},
        )
    print(f"examined {about['model']}: {', '.join(str(folder / 'evals' / name) + '.json' for name in found)}; {page}")


def _several(recipe: EvalRecipe, about: dict[str, Any], model: str, out: str | None) -> None:
    """Several attempts at each question: two tables, a file and a picture, and the report if they are of a run."""
    from hone.cli._tables import print_rows
    from hone.core.files import write_json
    from hone.evaluate.retries import evaluate_retries
    from hone.models.policy import load
    from hone.report.charts import save_png
    from hone.report.page import write_report
    from hone.report.turns import measure_rows, turn_chart, turn_rows

    found, _ = evaluate_retries(load(recipe.model), recipe.task, recipe.sampling, recipe.eval, recipe.vote)
    plain = found.plain()
    print_rows(turn_rows(plain), "turn after turn")
    print_rows(measure_rows(plain), "held-out evaluation")
    folder = _folder(model, None)
    own = not out and (folder / "config.toml").is_file()
    path = folder / "evals" / "turns.json" if own else Path(out or "runs/eval.json")
    write_json(path, {**about, **plain})
    picture = path.with_suffix(".png")
    save_png(turn_chart(plain, "Turn after turn"), picture)
    page = f", {write_report(folder)}" if own else ""
    failed = f" ({found.failures} that could not be graded count nowhere)" if found.failures else ""
    made = f"{found.questions} questions, {found.runs} runs of {found.turns} turns{failed}"
    print(f"evaluated {made}: {path}, {picture}{page}")


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
    from hone.evaluate.diagnostics.base import PACKAGE
    from hone.evaluate.model import EvalRecipe

    name = settings.get("task.name") or settings.get("task", "questions")
    yield "task.name", repr(name), "which task; its keys follow"
    yield from document(resolve(name, "hone.envs.tasks", "task"), "task.")
    yield from (row for row in document(EvalRecipe) if row[0] != "task")
    examined = settings.get("diagnostic.name") or settings.get("diagnostic")
    yield "diagnostic.name", "", "what to examine an agent for; every diagnostic that suits the task by default"
    if examined:
        yield from document(resolve(examined, PACKAGE, "diagnostic"), "diagnostic.")
    yield "out", "'runs/eval.json'", "where the numbers go; of an examination a folder, by default the model's run"
