"""Make one self-contained HTML page of a run: curves, before and after, rollouts with their credit.

usage: hone report RUN
"""

from __future__ import annotations

from pathlib import Path

from hone.core.errors import HoneError


def run(argv: list[str]) -> None:
    """Write RUN/report.html."""
    if "--help" in argv:
        print((__doc__ or "").strip())
        return
    if len(argv) != 1 or argv[0].startswith("-"):
        raise HoneError("hone report takes one run directory", got=" ".join(argv) or "none", do="hone report runs/NAME")
    from hone.report.page import write_report

    print(f"report: {write_report(Path(argv[0]))}")
