"""Repeat a known result and set its numbers beside their targets.

usage: hone reproduce NAME [--out DIR] [--seeds N]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from hone.reproduce.base import Check, Reproduction


@dataclass(frozen=True)
class Args:
    """Repeat a known result and set its numbers beside their targets.

    Attributes:
        name: which one: the name of a file of hone.reproduce (gambler, dyna-maze, quickstart, ...).
        out: folder for summary.json, report.html, pictures/*.png and what the experiment leaves (default:
            runs/reproduce-NAME).
        seeds: run with the seeds 0 to N−1.
    """

    name: Annotated[str, tyro.conf.Positional]
    out: Path | None = None
    seeds: int = 1


def run(argv: list[str]) -> None:
    """Run hone/reproduce/NAME.py, write summary.json, report.html and the pictures, print the numbers."""
    args = tyro.cli(Args, args=argv, prog="hone reproduce")

    import importlib
    import time

    from hone.core.errors import HoneError, nearest
    from hone.core.files import disk_errors, write_json
    from hone.core.resolve import names

    known = [name.replace("_", "-") for name in names("hone.reproduce") if _reproduces(name)]
    name = args.name.replace("_", "-")
    if name not in known:
        raise HoneError("unknown reproduction", got=f'"{args.name}"', expected=nearest(name, known))
    if args.seeds < 1:
        raise HoneError("a reproduction needs a seed", got=f"--seeds {args.seeds}", expected="1 or more")
    out = args.out or Path("runs") / f"reproduce-{name}"
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    result = importlib.import_module(f"hone.reproduce.{name.replace('-', '_')}").reproduce(out, range(args.seeds))
    seconds = time.monotonic() - began
    checks = [plain_check(check) for check in result.checks]
    write_json(out / "summary.json", {**result.summary, "headline": result.headline, "checks": checks})
    page = _page(out, result, checks, {"Seeds": str(args.seeds), "Time": f"{seconds:.1f} s"})
    _print(checks)
    held = sum(bool(check["holds"]) for check in checks)
    print(f"{result.headline}\n{held} of {len(checks)} numbers hold; report: {page}")


def plain_check(check: Check) -> dict[str, Any]:
    """A check as plain values: name, value, target, tolerance, relation (=, ≥ or ≤), holds."""
    return {
        "name": check.name,
        "value": float(check.value),
        "target": float(check.target),
        "tolerance": float(check.tolerance),
        "relation": "≥" if check.at_least else "≤" if check.at_most else "=",
        "holds": bool(check.holds),
    }


def _reproduces(name: str) -> bool:
    """Whether the module defines ``reproduce``, judged by its text: importing costs seconds."""
    import hone.reproduce

    return "def reproduce(" in (Path(hone.reproduce.__path__[0]) / f"{name}.py").read_text(encoding="utf-8")


def _page(out: Path, result: Reproduction, checks: list[dict[str, Any]], facts: dict[str, str]) -> Path:
    from hone.report.reproduction import save_pictures, write_reproduction

    save_pictures(out / "pictures", [(picture.title, picture.figure) for picture in result.pictures])
    return write_reproduction(
        out / "report.html",
        title=result.title,
        headline=result.headline,
        facts=facts,
        checks=checks,
        pictures=[(picture.title, picture.figure, picture.caption) for picture in result.pictures],
        notes=result.notes,
        tables=result.tables,
    )


def _print(checks: list[dict[str, Any]]) -> None:
    """The numbers as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("measured here")
    for column in ("value", "target", "tolerance"):
        table.add_column(column, justify="right")
    table.add_column("")
    for check in checks:
        values = (
            f"{check['value']:.5g}",
            f"{check['relation']} {check['target']:.5g}",
            f"{check['tolerance']:.2g}",
        )
        mark = "[green]holds[/]" if check["holds"] else "[red]missed[/]"
        table.add_row(str(check["name"]), *values, mark)
    Console().print(table)
