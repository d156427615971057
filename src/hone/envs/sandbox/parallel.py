"""Jobs that wait for processes, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class Killable(Protocol):
    """What a job waits for."""

    def kill(self) -> None:
        """End it; from any thread, also if it has ended already."""


class Watch:
    """What is running, so that all of it can be killed at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: WeakSet[Killable] = WeakSet()
        self._over = False

    def add(self, process: Killable) -> None:
        """Called by the thread that has started it."""
        with self._lock:
            self._running.add(process)
            over = self._over
        if over:
            process.kill()

    def kill_all(self) -> None:
        """Kill what is running and whatever is added from now on."""
        with self._lock:
            self._over = True
            running = list(self._running)
        for process in running:
            process.kill()


def in_parallel(jobs: Sequence[Callable[[], T]], workers: int, interrupt: Callable[[], object]) -> list[T]:
    """What the jobs return, in their order.

    Args:
        jobs: called by ``workers`` threads.
        workers: how many at a time.
        interrupt: called if this is interrupted (Ctrl-C), to end what the running jobs wait for; jobs that
            have not begun never do.
    """
    pool = ThreadPoolExecutor(max_workers=max(min(workers, len(jobs)), 1), thread_name_prefix="hone-programs")
    try:
        return [future.result() for future in [pool.submit(job) for job in jobs]]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        interrupt()
        raise
    finally:
        pool.shutdown(wait=True)
