"""The results as tables: rows of text made from the JSON, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.figures import Spread, peak, rates, ratios, risen, spread, times


@dataclass(frozen=True)
class Table:
    """Head and rows of text; an empty first cell belongs to the case above."""

    title: str
    head: list[str]
    rows: list[list[str]]


def table(section: Mapping[str, Any], clock: str) -> Table:
    """Every variant of every case: time, rate, memory, and how many times as long each peer takes."""
    peers = section["peers"]
    head = ["", "variant", "seconds", "tokens/s", "steps", "peak MiB", "+ MiB", "of GEMM"]
    head += [f"{peer} ÷" for peer in peers]
    rows = []
    for case in section["cases"]:
        name = case["name"]
        for label, variant in case["variants"].items():
            rows.append([name, label, *_row(case, label, variant, peers, clock)])
            name = ""
    keep = [i for i in range(len(head)) if i < 2 or any(row[i] for row in rows)]
    return Table(section["title"], [head[i] for i in keep], [[row[i] for i in keep] for row in rows])


def _row(case: Mapping[str, Any], label: str, variant: Mapping[str, Any], peers: list[str], clock: str) -> list[str]:
    if not variant.get("samples"):
        return [f"failed: {str(variant.get('error', 'no samples'))[:60]}", *[""] * (5 + len(peers))]
    seconds, rate = times(variant, clock), rates(variant, clock)
    cells = [
        within(spread(seconds)),
        within(spread(rate)) if rate else "",
        within(spread([sample["steps"] for sample in variant["samples"]])) if "steps" in variant["samples"][0] else "",
        f"{peak(variant):,.0f}",
        f"{risen(variant):,.0f}",
        _share(case, label, rate),
    ]
    for peer in peers:
        other = times(case["variants"].get(peer, {}), clock)
        cells.append(f"{within(ratios(other, seconds))} ×" if other and peer != label else "")
    return cells


def _share(case: Mapping[str, Any], label: str, rate: list[float]) -> str:
    """Operations of the forward pass per second, as a share of what large matrix products reach in that precision."""
    half = "bf16" in label
    for name, variant in case["variants"].items():
        if ("bf16" in name) == half and variant.get("samples") and "gflops" in variant["samples"][0]:
            most = variant["samples"][0]["gflops"] * 1e9
            return f"{spread(rate).middle * 2 * case['facts']['matrix_parameters'] / most:.0%}"
    return ""


def within(found: Spread) -> str:
    """``1.24 (1.20–1.31)``."""
    return f"{short(found.middle)} ({short(found.low)}–{short(found.high)})"


def short(value: float) -> str:
    """Three significant digits; whole from 100 on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def show(found: Table) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table as Rich

    drawn = Rich(title=found.title, title_justify="left")
    for name in found.head:
        drawn.add_column(name, justify="left" if name in ("", "variant") else "right")
    for row in found.rows:
        drawn.add_row(*row, end_section=False)
    Console(width=150).print(drawn)


def markdown(found: Table) -> str:
    """The table in Markdown, without its title."""
    lines = ["| " + " | ".join(found.head) + " |", "|" + "---|" * len(found.head)]
    lines += ["| " + " | ".join(row) + " |" for row in found.rows]
    return "\n".join(lines)
