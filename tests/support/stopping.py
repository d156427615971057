"""Processes that end in the middle of their work, and what must be the same afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hone.training.run import Run


class _Stopped(BaseException):
    pass


def stop_at_writes(work: Callable[[bool], object], out: Path, at: Callable[[int], int] = int) -> int:
    """Do work that writes a run into ``out``, stopped as it has put a file in its place, then again with ``resume``
    until there is a model; returns how often it was stopped.

    Args:
        work: takes whether it goes on from what is there.
        out: of the run.
        at: after the n-th stop (from 0) so many files are put in their places before the next: by default one more
            each time.
    """
    writes = stops = 0

    def stopping(move: Any) -> Any:
        def moved(source: Path, target: Path) -> Any:
            nonlocal writes
            result = move(source, target)
            writes += 1
            if writes > at(stops):
                raise _Stopped
            return result

        return moved

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(Path, name, stopping(getattr(Path, name)))
        while not (out / "model").exists():
            writes = 0
            try:
                work((out / "config.toml").exists())
            except _Stopped:
                stops += 1
    return stops


@contextmanager
def interrupted_after(step: int) -> Iterator[None]:
    """Training inside is interrupted once this step has been logged."""
    log = Run.log

    def stop(self: Run, logged: int, metrics: Any) -> None:
        log(self, logged, metrics)
        if logged == step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "log", stop)
        yield


def timeless(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of metrics without what a clock measured."""
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]
