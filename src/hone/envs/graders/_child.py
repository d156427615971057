"""A function in a child process that can be killed.

The child is a plain new interpreter (not a fork, and not ``multiprocessing``, which runs a script without a
``__main__`` guard again). It talks over two pipes of its own: what the function prints goes to standard
error. It starts at the first call, starts anew after it was killed, and dies with its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Literal

from hone.core.types import Failed

_MAX_KILLS = 8


class ChildError(Exception):
    """A call gave no value.

    Attributes:
        kind: as in :class:`Failed`.
        loading: the function could not even be loaded, so another call is pointless.
    """

    def __init__(self, reason: str, kind: Literal["exception", "timeout", "gone"], loading: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.kind, self.loading = reason, kind, loading

    @property
    def failed(self) -> Failed:
        """The outcome of the completions that were in the call."""
        return Failed(self.reason, self.kind)


class Child:
    """One function, called in a process of its own. Calls from several threads wait for each other.

    Args:
        target: ``package.module:name``, imported in the child (the current folder is on its path), or a
            callable: sent by name if its module can be imported, by value (cloudpickle) if it is a lambda, a
            closure or lives in ``__main__``.
        startup_timeout: seconds the child has for starting and importing.
    """

    def __init__(self, target: str | Callable[..., Any], startup_timeout: float) -> None:
        self.target, self.startup_timeout = target, startup_timeout
        self._lock = threading.Lock()
        self._owner = 0
        self._stop: Callable[[], Any] | None = None
        self._process: subprocess.Popen[bytes]
        self._requests = self._replies = -1

    def call(self, timeout: float, *positional: Any, **named: Any) -> list[Any]:
        """The list that the function returns: None, text, numbers and lists of these.

        Args:
            timeout: seconds for this call, starting not included.

        Raises:
            ChildError: the function raised, returned something else, ran out of time or took its process
                down.
        """
        with self._lock:
            self._start()
            try:
                message = pickle.dumps((positional, named))
            except Exception as error:
                raise ChildError(f"the columns cannot be sent to the child: {error}", "exception") from error
            return self._exchange(message, timeout, loading=False)

    def close(self) -> None:
        """Kill the child and whatever it started; the next call starts another."""
        if self._stop is not None and self._owner == os.getpid():
            self._stop()
        self._stop = None

    def _start(self) -> None:
        if self._stop is not None and self._owner == os.getpid() and self._process.poll() is None:
            return
        self.close()
        try:
            target = self.target if isinstance(self.target, str) else _by_value(self.target)
        except Exception as error:
            reason = f"the function cannot be sent to the child: {type(error).__name__}: {error}"
            raise ChildError(reason, "exception", loading=True) from error
        # The kernel's parent-death signal fires when the starting *thread* ends, so one lasting
        # thread starts all children.
        start = _starter(os.getpid()).submit(_spawn)
        self._process, self._requests, self._replies = start.result()
        self._owner = os.getpid()
        self._stop = weakref.finalize(self, _kill, self._process, self._requests, self._replies)
        self._exchange(pickle.dumps(target), self.startup_timeout, loading=True)

    def _exchange(self, message: bytes, timeout: float, loading: bool) -> list[Any]:
        deadline = time.monotonic() + timeout
        try:
            self._write(struct.pack("<Q", len(message)) + message, deadline)
            (size,) = struct.unpack("<Q", self._read(8, deadline))
            reply = json.loads(self._read(size, deadline))
        except TimeoutError:
            self.close()
            what = "did not load" if loading else "did not return"
            raise ChildError(f"{what} within {timeout:g} s", "timeout", loading) from None
        except (OSError, EOFError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            code = self._process.returncode
            self.close()
            raise ChildError(f"its process ended (exit code {code})", "gone", loading) from None
        if "error" in reply:
            raise ChildError(reply["error"], "exception", loading)
        values: list[Any] = reply["value"]
        return values

    def _write(self, data: bytes, deadline: float) -> None:
        left = memoryview(data)
        while left:
            _wait(self._requests, select.POLLOUT, deadline)
            left = left[os.write(self._requests, left) :]

    def _read(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            _wait(self._replies, select.POLLIN, deadline)
            part = os.read(self._replies, min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)


def together_or_apart(call: Callable[[Sequence[int]], list[Any]], count: int) -> list[Any | Failed]:
    """Values of ``count`` items from one call on all; if that fails, from one call each.

    So one bad answer fails alone; one whose process went away is tried once more. After eight calls that had
    to be killed the rest of the batch fails unasked: a function that always hangs would block the run.

    Args:
        call: values of the items with these indices; raises :class:`ChildError`.
        count: how many items there are.
    """

    def alone(i: int) -> list[Any]:
        try:
            return call([i])
        except ChildError as error:
            if error.kind != "gone" or error.loading:
                raise
            return call([i])  # something else may have taken the process down: out of memory, an operator

    if count == 0:
        return []
    try:
        return call(range(count)) if count > 1 else alone(0)
    except ChildError as error:
        if count == 1 or error.loading:
            return [error.failed] * count
    values: list[Any | Failed] = []
    killed = 0
    for i in range(count):
        if killed == _MAX_KILLS:
            values.append(Failed(f"not tried: {killed} calls before it in this batch were killed", "timeout"))
            continue
        try:
            values += alone(i)
        except ChildError as error:
            killed += error.kind != "exception"
            values.append(error.failed)
    return values


def _by_value(function: Callable[..., Any]) -> bytes:
    import cloudpickle

    data: bytes = cloudpickle.dumps(function)
    return data


def _spawn() -> tuple[subprocess.Popen[bytes], int, int]:
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    here = str(Path.cwd())
    path = [*sys.path, *([] if here in sys.path or "" in sys.path else [here])]
    program = (
        f"import sys; sys.path[:] = {path!r}\n"
        f"from hone.envs.graders._worker import serve; serve({theirs_in}, {theirs_out}, {os.getpid()})"
    )
    try:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=2,
            pass_fds=(theirs_in, theirs_out),
            start_new_session=True,
        )
    finally:
        os.close(theirs_in)
        os.close(theirs_out)
    os.set_blocking(ours_out, False)
    return process, ours_out, ours_in


def _kill(process: subprocess.Popen[bytes], *descriptors: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for descriptor in descriptors:
        os.close(descriptor)


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
        raise TimeoutError


@cache
def _starter(owner: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"hone-children-of-{owner}")
