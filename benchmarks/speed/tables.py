"""The results as tables: rows of text made from the JSON, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.figures import Spread, costs, peak, rates, ratios, risen, spread, times

FIXED = ("", "variant", "seconds", "tokens/s", "steps", "peak MiB", "+ MiB", "of GEMM", "of bandwidth")


@dataclass(frozen=True)
class Table:
    """Head and rows of text; an empty first cell belongs to the case above."""

    title: str
    head: list[str]
    rows: list[list[str]]


def table(section: Mapping[str, Any], clock: str) -> Table:
    """Every variant of every case: time, rate, memory, and how many times as long each peer takes.

    Columns that stay empty are left out.
    """
    head = [*FIXED, *(f"{peer} ÷" for peer in section["peers"])]
    rows = []
    for case in section["cases"]:
        name = case["name"]
        for label, variant in case["variants"].items():
            cells = _cells(case, label, variant, section, clock)
            rows.append([name, label, *cells, *[""] * (len(head) - 2 - len(cells))])
            name = ""
    keep = [i for i in range(len(head)) if i < 2 or any(row[i] for row in rows)]
    return Table(section["title"], [head[i] for i in keep], [[row[i] for i in keep] for row in rows])


def _cells(
    case: Mapping[str, Any], label: str, variant: Mapping[str, Any], section: Mapping[str, Any], clock: str
) -> list[str]:
    if not variant.get("samples"):
        return [f"failed: {str(variant.get('error', 'no samples'))[:60]}"]
    rate = rates(variant, clock)
    steps = [sample["steps"] for sample in variant["samples"] if "steps" in sample]
    cells = [
        within(spread(times(variant, clock))),
        within(spread(rate)) if rate else "",
        within(spread(steps)) if steps else "",
        f"{peak(variant):,.0f}",
        f"{risen(variant):,.0f}",
        *_shares(case, label, rate),
    ]
    for peer in section["peers"]:
        other = case["variants"].get(peer, {})
        told = other.get("samples") and peer != label
        per_token = section.get("per_token", False)
        cells.append(
            f"{within(ratios(costs(other, clock, per_token), costs(variant, clock, per_token)))} ×" if told else ""
        )
    return cells


def _shares(case: Mapping[str, Any], label: str, rate: Sequence[float]) -> tuple[str, str]:
    """What a rate is of the machine's limits: of its operations per second (2 per weight and token) in that precision;
    on a GPU also of the bytes it can read, all weights once per decoding step.
    """
    half = "bf16" in label
    for name, variant in case["variants"].items():
        first = (variant.get("samples") or [{}])[0]
        if ("bf16" in name) == half and "gflops" in first and rate:
            weights = case["facts"]["matrix_parameters"]
            operations = spread(rate).middle * 2 * weights / (first["gflops"] * 1e9)
            read = spread(rate).middle / first["rows"] * weights * (2 if half else 4) / (first["gbytes"] * 1e9)
            return f"{operations:.0%}", f"{read:.0%}" if first["device"] == "cuda" else ""
    return "", ""


def within(found: Spread) -> str:
    """``1.24 (1.20–1.31)``; the median alone of a single measurement."""
    if found.low == found.high:
        return short(found.middle)
    return f"{short(found.middle)} ({short(found.low)}–{short(found.high)})"


def short(value: float) -> str:
    """Three significant digits; whole from 100 on."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def show(found: Table) -> None:
    """Print a table, as wide as it needs to be where nobody's terminal is in the way."""
    import sys

    from rich.console import Console
    from rich.table import Table as Rich

    drawn = Rich(title=found.title, title_justify="left")
    for name in found.head:
        drawn.add_column(name, justify="left" if name in ("", "variant") else "right")
    for row in found.rows:
        drawn.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 220).print(drawn)


def markdown(found: Table) -> str:
    """The table in Markdown, without its title."""
    lines = ["| " + " | ".join(found.head) + " |", "|" + "---|" * len(found.head)]
    lines += ["| " + " | ".join(row) + " |" for row in found.rows]
    return "\n".join(lines)
