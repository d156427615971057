"""Progress of anything that takes longer than a second: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType


class Progress:
    """``with Progress("training", 60) as bar: bar.advance("reward 0.71")``; all output goes to standard error.

    On a terminal it is a bar with the time left; elsewhere (a log file, CI) one line every ``every`` seconds.
    """

    def __init__(self, title: str, total: int, *, done: int = 0, every: float = 10.0) -> None:
        self.title, self.total, self.done, self.every = title, total, done, every
        self._first, self._start = done, time.monotonic()
        self._said = self._start
        self._live = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        if self._live:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Rich

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._rich = Rich(*columns, console=Console(stderr=True))
            self._rich.start()
            self._task = self._rich.add_task(self.title, total=self.total, completed=self.done, note="")
        return self

    def advance(self, note: str = "", by: int = 1) -> None:
        """One more is done; ``note`` stands behind the bar."""
        self.done += by
        if self._live:
            self._rich.update(self._task, completed=self.done, note=note)
            return
        now = time.monotonic()
        if now - self._said >= self.every or (self.done >= self.total and now - self._start > 1):
            self._said = now
            rate = (now - self._start) / max(self.done - self._first, 1)
            left = rate * max(self.total - self.done, 0)
            print(
                f"{self.title}: {self.done}/{self.total}, {left:.0f} s left  {note}",
                file=sys.stderr,
                flush=True,
            )

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._rich.stop()
