"""Measure hone's speed beside that of transformers and TRL.

usage: python -m benchmarks.speed [SECTION ...] [--quick] [--threads N] [--clock cpu] [--json FILE] [--publish]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed import machine
from benchmarks.speed.harness import run_case
from benchmarks.speed.page import PUBLISHED, publish
from benchmarks.speed.plan import Plan
from benchmarks.speed.tables import show, table

SECTIONS = ("generation", "step", "grpo", "ppo", "target", "scaling", "threads")
QUICK = ("generation", "step", "grpo")


def main() -> None:
    options = _options()
    names = options.sections or (QUICK if options.quick else SECTIONS)
    if any(not alone(name) for name in names):
        machine.install_peers()
    path = PUBLISHED if options.publish else options.json
    result: dict[str, Any] = {"sections": {}}
    if path.exists():
        result = json.loads(path.read_text())
    with tempfile.TemporaryDirectory(prefix="hone-bench-") as folder:
        os.environ["TMPDIR"] = folder  # what workers leave behind goes with it
        plan = Plan(Path(folder), options.quick, options.threads)
        for name in names:
            result["sections"][name] = measure(name, plan, options.clock)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(result, indent=1) + "\n")  # what was measured survives a later fault
            show(table(result["sections"][name], result["sections"][name]["clock"]))
    print(f"{path}: machine, versions and every sample")
    if options.publish:
        publish(result)


def measure(name: str, plan: Plan, clock: str) -> dict[str, Any]:
    """All cases of a section."""
    section = _section(name)
    clock = getattr(section, "CLOCK", clock)
    began = time.monotonic()
    about = {
        "machine": machine.facts(peers=not alone(name)),
        "threads": plan.threads,
        "quick": plan.quick,
        "clock": clock,
    }
    own = getattr(section, "run", None)
    cases = own(plan, _say) if own else [run_case(case, _say) for case in section.cases(plan)]
    _say("")
    spent = round(time.monotonic() - began)
    how = {"title": section.TITLE, "peers": list(section.PEERS), "per_token": getattr(section, "PER_TOKEN", False)}
    return {**how, **about, "spent": spent, "cases": cases}


def alone(name: str) -> bool:
    """Whether a section measures hone beside itself only, so that nobody else need be installed."""
    return bool(getattr(_section(name), "ALONE", False))


def _section(name: str) -> Any:
    return importlib.import_module(f"benchmarks.speed.sections.{name}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="less of it, in about two minutes")
    parser.add_argument("--threads", type=int, default=1, help="of every process (default 1)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu where the machine is busy")
    parser.add_argument("--json", type=Path, default=machine.ROOT / "runs" / "bench" / "speed.json")
    parser.add_argument("--publish", action="store_true", help="into docs/speed.md, its picture and its JSON")
    options = parser.parse_args()
    for name in options.sections:
        if name not in SECTIONS:
            parser.error(f'no section "{name}"; there are {", ".join(SECTIONS)}')
    return options


def _say(text: str) -> None:
    """What is going on: on one line of a terminal; elsewhere a line whenever a case begins."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif "starting" in text:
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
