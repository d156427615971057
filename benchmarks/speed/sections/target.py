"""Time until 90 % of sampled answers to held-out questions are right: the quickstart's task, from one checkpoint.

Both sides take 32 questions × 16 samples a step, clip 0.2, no KL, AdamW with learning rate 3e-4 and betas 0.9 and
0.999. After every fifth step the weights are written down and one evaluator judges them; neither is timed, nor are
imports and set-up. Sampled accuracy is over 2,000 questions at temperature 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.speed.harness import Sample, Variant, Worker, WorkerError
from benchmarks.speed.machine import CACHE, ROOT
from benchmarks.speed.plan import Plan

TITLE = "Seconds to 90 % sampled held-out accuracy, three-digit addition"
PEERS = ("TRL fp32",)
CLOCK = "wall"
"""Whatever is asked for: all cores work."""

GOAL, EVERY, MOST = 0.9, 5, 200
BASE = CACHE / "quickstart"


def run(plan: Plan, say: Callable[[str], None]) -> list[dict[str, Any]]:
    base = _base(say)
    work = {"model": str(base), "questions": str(BASE / "questions.json"), "every": EVERY}
    variants = {
        "TRL fp32": Variant("trl_target", {**work, "bf16": False}, peer=True, threads=plan.cores),
        "hone fp32": Variant("hone_target", work, threads=plan.cores),
    }
    found: dict[str, dict[str, Any]] = {label: {"samples": []} for label in variants}
    judge = Worker(Variant("hone_judge", {}, threads=plan.cores))
    try:
        judge.ready()
        judge.go(str(base))
        start = judge.done()["accuracy"]
        for seed in range(1 if plan.quick else 3):
            _seed(variants, seed, plan.folder, judge, found, say)
    finally:
        judge.stop()
    facts = {"goal": GOAL, "start": start, "threads": plan.cores}
    return [{"name": f"from {start:.0%}, {plan.cores} threads", "facts": facts, "variants": found}]


def _seed(
    variants: dict[str, Variant],
    seed: int,
    folder: Path,
    judge: Worker,
    found: dict[str, dict[str, Any]],
    say: Callable[[str], None],
) -> None:
    """All sides in turn, five steps each, until each has got there."""
    workers: dict[str, Worker] = {}
    totals: dict[str, Sample] = {}
    try:
        for label, variant in variants.items():
            if "error" not in found[label]:
                settings = {**variant.settings, "seed": seed, "snapshots": str(folder / f"{variant.job}-{seed}")}
                workers[label] = Worker(Variant(variant.job, settings, variant.peer, variant.threads))
        for label, worker in [*workers.items()]:
            ready = worker.ready()
            found[label].setdefault("ready", ready)
            totals[label] = {"seconds": 0.0, "cpu": 0.0, "tokens": 0, "steps": 0, "peak": 0.0, "curve": []}
        while workers:
            for label, worker in [*workers.items()]:
                _chunk(worker, totals[label], judge)
                last = totals[label]["curve"][-1]
                say(f"seed {seed}: {label}, step {last[0]}, {last[1]:.1f} s, {last[2]:.1%}")
                if last[2] >= GOAL or last[0] >= MOST:
                    totals[label]["reached"] = last[2] >= GOAL
                    found[label]["samples"].append(totals[label])
                    workers.pop(label).stop()
    except WorkerError as error:
        for label in workers:
            found[label]["error"] = str(error)
    finally:
        for worker in workers.values():
            worker.stop()


def _chunk(worker: Worker, total: Sample, judge: Worker) -> None:
    worker.go()
    sample = worker.done()
    for name in ("seconds", "cpu", "tokens"):
        total[name] += sample[name]
    total["steps"] += EVERY
    total["peak"] = max(total["peak"], sample["peak"])
    judge.go(sample["snapshot"])
    total["curve"].append([total["steps"], total["seconds"], judge.done()["accuracy"]])


def _base(say: Callable[[str], None]) -> Path:
    """The quickstart's base model, made once and kept."""
    model = BASE / "base" / "model"
    if not (model.exists() and (BASE / "questions.json").exists()):
        say("pretraining the quickstart's base model (once)")
        path = os.pathsep.join(p for p in sys.path if p)
        command = [sys.executable, "-m", "benchmarks.speed.jobs.hone_base", str(BASE)]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL)
    return model
