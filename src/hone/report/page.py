"""One self-contained HTML page of a run: result, before and after, curves, rollouts with credit, recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from hone.core.files import write_text
from hone.report.arena import arena_chart
from hone.report.comparison import headline, strata_chart, table
from hone.report.diagnostics import diagnostic_charts
from hone.report.panels import sections
from hone.report.preferences import preference_charts
from hone.report.run_files import RunFiles, read_run
from hone.report.samples import shown
from hone.report.style import number
from hone.report.turns import turn_charts


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` into a run directory from its files, finished or not, and return its path.

    The page needs nothing else: no network, no script. Whatever a model or a user wrote is text in it, never
    markup.

    Raises:
        HoneError: the directory is missing or holds no run, or the page cannot be written.
    """
    text = render("page.html", **page_values(run_dir))
    path = run_dir / "report.html"
    write_text(path, text)
    return path


def page_values(run_dir: Path, *, charts: bool = True) -> dict[str, Any]:
    """Everything that ``page.html`` shows of a run; without ``charts`` neither curves nor rollouts.

    Raises:
        HoneError: the directory is missing or holds no run.
    """
    run = read_run(run_dir)
    judged = {name: found for name, found in run.evaluations.items() if "diagnostic" not in found}
    return {
        "run": run,
        "evaluations": judged,
        "headline": _headline(run),
        "status": _status(run),
        "facts": _facts(run),
        "rows": table(judged),
        "strata": Markup(strata_chart(judged)),
        "turns": [Markup(chart) for chart in turn_charts(judged)] if charts else [],
        "arena": Markup(arena_chart(run.evaluations)) if charts else "",
        "preferences": [Markup(chart) for chart in preference_charts(run.evaluations)] if charts else [],
        "diagnostics": [Markup(chart) for chart in diagnostic_charts(run.evaluations)] if charts else [],
        "sections": sections(run.metrics, "rounds.name" in run.settings) if charts else {},
        "steps": shown(run.rollouts) if charts else [],
    }


def render(template: str, **values: Any) -> str:
    """A filled template of this package (pages extend ``base.html``); strings are escaped, ``Markup`` is not.

    In a template ``svg`` marks the output of :func:`hone.report.charts.figure_to_svg` as markup.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hone.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup
    return environment.get_template(template).render(**values)


def _headline(run: RunFiles) -> str:
    told = run.summary.get("headline") or run.evaluations.get("arena", {}).get("headline")
    if isinstance(told, str):
        return told
    return headline(run.evaluations, run.metrics) or "Nothing has been measured yet."


def _status(run: RunFiles) -> str:
    rounds = run.settings.get("rounds.rounds")
    planned = rounds or run.settings.get("run.steps", run.settings.get("steps"))
    of = f" of {planned:,}" if isinstance(planned, int) else ""
    what = "round" if rounds else "step"
    return f"{'finished' if run.finished else 'not finished'}, {what} {run.steps:,}{of}"


def _facts(run: RunFiles) -> Mapping[str, str]:
    """What stands in the strip under the title."""
    named = {
        "Rounds": "rounds.name",
        "Algorithm": "algorithm.name",
        "Task": "task.name",
        "Model": "model.path",
        "Seed": "run.seed",
    }
    facts = {title: str(run.settings[key]) for title, key in named.items() if key in run.settings}
    for title, metric, unit in (("Tokens sampled", "tokens", ""), ("Time", "seconds_step", " s")):
        values = [y for y in run.metrics.get(metric, ([], []))[1] if math.isfinite(y)]
        if values:
            facts[title] = number(math.fsum(values)) + unit
    return facts
