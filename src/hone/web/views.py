"""Routes that show: the arena, the people, the runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hone.core.errors import HoneError
from hone.evaluate.arena import make_agreement, make_arena
from hone.functional.ratings import RIDGE
from hone.web.desk import desk_of

router = APIRouter()
DEPTH = 4
"""How deep under the folder a run is looked for."""


@router.get("/arena")
def arena(request: Request) -> Response:
    """Ratings and the win matrix."""
    desk = desk_of(request)
    found = desk.once("arena", desk.store.stamp(), lambda: make_arena(desk.store.verdicts()))
    return desk.page(request, "arena.html", arena=found, ridge=RIDGE)


@router.get("/people")
def people(request: Request) -> Response:
    """How much everyone has labelled, and how far they agree."""
    desk = desk_of(request)
    counts: dict[str, dict[str, int]] = {}
    for annotator, kind, count in desk.store.counts():
        counts.setdefault(annotator, {})[kind] = count
    agreement = desk.once("people", desk.store.stamp(), lambda: make_agreement(desk.store.verdicts()))
    return desk.page(request, "people.html", counts=counts, agreement=agreement)


@router.get("/runs")
def runs(request: Request) -> Response:
    """Every run under the folder."""
    desk = desk_of(request)
    found = {name: desk.once(f"line {name}", _stamp(path), partial(_line, path)) for name, path in _runs(desk.runs)}
    return desk.page(request, "runs.html", runs=found, folder=str(desk.runs))


@router.get("/runs/{name:path}")
def run(request: Request, name: str) -> Response:
    """Curves and rollouts of one run; the page asks again while the run goes on."""
    from hone.report.page import page_values

    desk = desk_of(request)
    # The name is looked up among the runs that are there, never joined to a path.
    path = dict(_runs(desk.runs)).get(name)
    if path is None:
        raise HoneError("there is no such run", got=name, do="open /runs")
    values = desk.once(f"run {name}", _stamp(path), lambda: page_values(path))
    return desk.page(request, "run.html", **values)


def _runs(folder: Path) -> list[tuple[str, Path]]:
    """(name, directory), the latest first."""
    found: dict[str, tuple[float, Path]] = {}
    for depth in range(DEPTH):
        for file in folder.glob("*/" * depth + "metrics.jsonl"):
            name = str(file.parent.relative_to(folder)) if depth else folder.resolve().name
            found[name] = (file.stat().st_mtime, file.parent)
    return [(name, path) for name, (_, path) in sorted(found.items(), key=lambda item: -item[1][0])]


def _stamp(run: Path) -> tuple[Any, ...]:
    """Changes whenever the run has written something."""
    files = [run / "metrics.jsonl", run / "config.toml", run / "rollouts", run / "evals", run / "model"]
    return tuple((f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.exists())


def _line(path: Path) -> dict[str, Any]:
    """One line of the list of runs."""
    from hone.report.charts import Series, curve, figure_to_svg
    from hone.report.page import page_values

    values = page_values(path, charts=False)
    metrics = values["run"].metrics
    name = next((n for n in ("reward", "validation_loss", "loss") if n in metrics), None)
    svg = ""
    if name is not None:
        figure = curve([Series(name, *metrics[name])], title=name, smooth=True, size=(2.8, 1.5))
        svg = figure_to_svg(figure, f"line {path}")
    return {"status": values["status"], "headline": values["headline"], "svg": svg}
