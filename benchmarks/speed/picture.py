"""The picture of the page: how many times as long the peers take, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed.figures import costs, ratios
from hone.evaluate.estimates import NOTHING, Estimate
from hone.report.charts import bars, save_png

SHOWN = {"generation": "sampling", "step": "update", "grpo": "whole step", "target": "to 90 %"}
"""Sections in the picture, and what they are called there."""


def draw(sections: Mapping[str, Any], path: Path) -> None:
    """Bars of the median ratio, the whiskers from the least to the largest; nothing where no pair was measured."""
    labels, series = ratios_of(sections)
    if labels:
        title = "Times as long as hone, in the same precision"
        save_png(bars(labels, series, title=title, unit="median, least to largest", width=7.5), path)


def ratios_of(sections: Mapping[str, Any]) -> tuple[list[str], dict[str, list[Estimate]]]:
    """Labels of the cases and, for each precision, the ratio of the peer to hone as it is by default."""
    labels: list[str] = []
    series: dict[str, list[Estimate]] = {"fp32": [], "bf16": []}
    for name, word in SHOWN.items():
        for case in sections.get(name, {}).get("cases", []):
            found = {p: _ratio(case, p, sections[name]["clock"]) for p in series}
            if any(e.count for e in found.values()):
                labels.append(f"{word}: {case['name']}")
                for precision, estimate in found.items():
                    series[precision].append(estimate)
    return labels, {p: estimates for p, estimates in series.items() if any(e.count for e in estimates)}


def _ratio(case: Mapping[str, Any], precision: str, clock: str) -> Estimate:
    variants = {label: v for label, v in case["variants"].items() if v.get("samples")}
    peers = [v for label, v in variants.items() if not label.startswith("hone") and label.endswith(f" {precision}")]
    ours = variants.get(f"hone {precision}")
    if not peers or ours is None:
        return NOTHING
    found = ratios(costs(peers[0], clock, False), costs(ours, clock, False))
    return Estimate(found.middle, found.low, found.high, len(peers[0]["samples"]))
