"""The worker's end of the line to the parent: one gate, at which work waits for its turn and is timed.

What is timed is the time between two calls of :meth:`Channel.gate`, less the waiting in them. So the same clock serves
a plain loop and the callbacks of somebody else's trainer. Standard library only: every environment can import it.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


class Stopped(BaseException):
    """The parent has seen enough; no trainer's ``except Exception`` swallows it."""


class Channel:
    """Replies go out as lines of JSON; a line that comes in lets the work go on, the end of input stops it."""

    def __init__(self, reader: TextIO, writer: TextIO) -> None:
        self.reader, self.writer = reader, writer
        self._began: tuple[float, float] | None = None
        self._outside = (0.0, 0.0)

    def gate(self, **facts: Any) -> str:
        """Report what was done since the last gate, then wait; returns what the parent says.

        The first call says that the worker is ready; memory is counted from there.

        Raises:
            Stopped: the parent wants no more.
        """
        if self._began is None:
            reset_peak()
        else:
            wall, cpu = (now - then - out for now, then, out in zip(_clocks(), self._began, self._outside, strict=True))
            facts = {"seconds": wall, "cpu": cpu, **facts}
        self.writer.write(json.dumps({**facts, "memory": memory(), "peak": peak_memory()}) + "\n")
        self.writer.flush()
        message = self.reader.readline()
        if not message:
            raise Stopped
        self._outside = (0.0, 0.0)
        self._began = _clocks()
        return message.rstrip("\n")

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Work inside the block is not timed."""
        began = _clocks()
        try:
            yield
        finally:
            wall, cpu = (now - then for now, then in zip(_clocks(), began, strict=True))
            self._outside = (self._outside[0] + wall, self._outside[1] + cpu)

    def fail(self, reason: str) -> None:
        """Say that the work is impossible or broke."""
        self.writer.write(json.dumps({"error": reason}) + "\n")
        self.writer.flush()


def memory() -> float:
    """MiB of memory this process has now."""
    return _status("VmRSS")


def peak_memory() -> float:
    """Most MiB this process had since :func:`reset_peak`, or since it began where Linux does not tell."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reset_peak() -> None:
    """Count the peak from here."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _status(name: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":")), 0.0)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def private_output() -> TextIO:
    """Standard output for the channel alone: what libraries print goes to standard error from here on."""
    mine = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(mine, "w")
