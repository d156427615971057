"""The parent: workers that take turns, one active at a time, and what they say.

Interleaving (A B A B …) puts a slow minute of the machine on all variants alike, so ratios are taken pair by pair.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.speed.machine import PEER_PYTHON, ROOT

Sample = dict[str, Any]
"""What a worker says at a gate: ``seconds``, ``cpu``, ``memory``, ``peak`` and the job's own facts."""

READY_SECONDS, WORK_SECONDS = 300.0, 600.0
"""Longest waits for a worker to be ready, and for one piece of work."""


class WorkerError(Exception):
    """A worker could not be started, broke, or hung; the message holds the end of what it printed."""


@dataclass(frozen=True)
class Variant:
    """One way to do the work of a case.

    Attributes:
        job: a module of :mod:`benchmarks.speed.jobs`.
        settings: its arguments.
        peer: it runs in the peers' environment.
        threads: OpenMP threads of the process.
        beside: other processes that work at the same time; the turn ends when the last has ended.
    """

    job: str
    settings: Mapping[str, Any]
    peer: bool = False
    threads: int = 1
    beside: tuple[Variant, ...] = ()


@dataclass(frozen=True)
class Case:
    """The same work in several variants.

    Attributes:
        name: what the work is.
        variants: by label, in the order of their turns.
        rounds: how often each takes its turn.
        warmup: turns before those.
        budget: seconds after which no further round begins; three are always made.
        facts: numbers about the work, for the tables.
    """

    name: str
    variants: Mapping[str, Variant]
    rounds: int = 5
    warmup: int = 1
    budget: float = 60.0
    facts: Mapping[str, Any] = field(default_factory=dict)


class Worker:
    """A job in a process of its own."""

    def __init__(self, variant: Variant) -> None:
        python = str(PEER_PYTHON) if variant.peer else sys.executable
        self.variant = variant
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self.process = subprocess.Popen(
            _command(python, variant.job),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=ROOT,
            env=_environment(variant),
        )
        self._write(json.dumps(dict(variant.settings)))

    def ready(self) -> Sample:
        """Wait until it is set up."""
        return self._read(READY_SECONDS)

    def go(self, message: str = "go") -> None:
        """Let it do its work once; its gate returns the message."""
        self._write(message)

    def done(self) -> Sample:
        """Wait until that is done."""
        return self._read(WORK_SECONDS)

    def stop(self) -> None:
        """End it."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise WorkerError(self._said("it has ended")) from error

    def _read(self, seconds: float) -> Sample:
        out = self.process.stdout
        assert out is not None
        if not select.select([out], [], [], seconds)[0]:
            raise WorkerError(self._said(f"no answer within {seconds:.0f} s"))
        line = out.readline()
        sample: Sample = json.loads(line) if line else {"error": "it has ended"}
        if "error" in sample:
            raise WorkerError(self._said(str(sample["error"])))
        return sample

    def _said(self, reason: str) -> str:
        self.log.seek(0)
        tail = self.log.read().decode(errors="replace").strip().splitlines()[-3:]
        return " | ".join([f"{self.variant.job}: {reason}", *tail])


def run_case(case: Case, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Interleave the variants of a case.

    Returns:
        ``{"name", "facts", "variants": {label: {"ready": sample, "samples": [sample]} or {"error": text}}}``; what
        breaks is reported and left out, the others go on.
    """
    found: dict[str, dict[str, Any]] = {}
    workers: dict[str, list[Worker]] = {}
    try:
        say(f"{case.name}: starting {len(case.variants)} variants")
        for label, variant in case.variants.items():
            workers[label] = [Worker(v) for v in (variant, *variant.beside)]
        for label in case.variants:
            try:
                ready = [worker.ready() for worker in workers[label]]
                found[label] = {"ready": ready[0], "samples": []}
            except WorkerError as error:
                _drop(label, error, workers, found)
        began = time.monotonic()
        for turn in range(case.warmup + case.rounds):
            if turn >= case.warmup + 3 and time.monotonic() - began > case.budget:
                break
            for label in [*workers]:
                say(f"{case.name}: {label}, turn {turn + 1} of {case.warmup + case.rounds}")
                try:
                    sample = _turn(workers[label])
                except WorkerError as error:
                    _drop(label, error, workers, found)
                    continue
                if turn >= case.warmup:
                    found[label]["samples"].append(sample)
    finally:
        for several in workers.values():
            for worker in several:
                worker.stop()
    return {"name": case.name, "facts": dict(case.facts), "variants": found}


def _turn(several: Sequence[Worker]) -> Sample:
    """One piece of work by all at once: the time until the last is done, the work of all."""
    for worker in several:
        worker.go()
    samples = [worker.done() for worker in several]
    if len(samples) == 1:
        return samples[0]
    whole = dict(samples[0], each=samples)
    whole["seconds"] = max(s["seconds"] for s in samples)
    for name in ("cpu", "tokens", "memory", "peak"):
        if name in whole:
            whole[name] = sum(s[name] for s in samples)
    return whole


def _drop(label: str, error: WorkerError, workers: dict[str, list[Worker]], found: dict[str, dict[str, Any]]) -> None:
    found[label] = {"error": str(error)}
    for worker in workers.pop(label, []):
        worker.stop()


def _command(python: str, job: str) -> list[str]:
    return [python, "-m", "benchmarks.speed.worker", job]


def _environment(variant: Variant) -> dict[str, str]:
    threads = str(variant.threads)
    quiet = {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    limits = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"}
    path = {} if variant.peer else {"PYTHONPATH": os.pathsep.join([str(Path(p)) for p in sys.path if p])}
    rest = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**rest, **path, **quiet, **limits, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
