"""One process inside the sandbox, from outside: start it, exchange bytes before a deadline, kill it."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hone.envs.sandbox.bubblewrap import FOLDER, Isolation, SyscallFilter, interpreter, syscall_filter
from hone.envs.sandbox.inside import program, tests  # noqa: F401  (leaves their compiled files for the sandbox)
from hone.envs.sandbox.limits import Limits

_INSIDE = Path(__file__).parent / "inside"
_SHOWN = "/sandbox"
_STARTUP = 30.0
_ERRORS_KEPT = 4000


class SandboxError(Exception):
    """The sandbox itself failed: no program is to blame."""


class LimitError(Exception):
    """The process broke a limit; it has been killed.

    Attributes:
        what: ``wall`` or ``output``.
    """

    def __init__(self, what: Literal["wall", "output"]) -> None:
        super().__init__(what)
        self.what = what


class EndedError(Exception):
    """The process is gone before it answered."""


class Confined:
    """A process that runs one module of :mod:`hone.envs.sandbox.inside`. A context: at its end nothing is left.

    Args:
        module: ``program`` or ``tests``.
        isolation: from :func:`hone.envs.sandbox.bubblewrap.isolation`.
        limits: what it may use.
        packages: folders of Python packages that it may import.
        functions: of a program: whether its functions are called, or it reads standard input.

    Raises:
        SandboxError: it did not come up. Until it has, it is sent nothing of the program.
    """

    def __init__(
        self,
        module: str,
        isolation: Isolation,
        limits: Limits,
        packages: Sequence[str] = (),
        *,
        functions: bool = True,
    ) -> None:
        self.limits = limits
        self._folder = None if isolation.bwrap else tempfile.mkdtemp(prefix=f"hone-program-{os.getpid()}-")
        at = _SHOWN if isolation.bwrap else str(_INSIDE.parent)
        settings = {
            "limits": limits.rlimits,
            "user": isolation.user,
            "packages": list(packages),
            "functions": functions,
            "filter": b"" if isolation.bwrap else syscall_filter(),
        }
        run = f"import sys; sys.path.append({at!r}); from inside import {module}; sys.path.remove({at!r}); "
        inner = [interpreter(), "-S", "-B", "-P", "-c", f"{run}{module}.main({settings!r})"]
        try:
            self._process = self._spawn(isolation, inner, packages)
        except BaseException:
            self._remove_folder()
            raise
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._errors = self._process.stderr.fileno()
        os.set_blocking(self._in, False)
        try:
            if self.receive(time.monotonic() + _STARTUP) != b"ready":
                raise EndedError
        except (EndedError, LimitError) as error:
            said = self._said()
            self.close()
            raise SandboxError(f"the sandbox did not start ({error!r}): {said}") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Confined:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill whatever is still there and wait for its end."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        self._remove_folder()

    def send(self, message: bytes, deadline: float) -> None:
        """Send one message.

        Raises:
            EndedError: nobody is there to read it.
            LimitError: nobody read it in time.
        """
        left = memoryview(struct.pack("<I", len(message)) + message)
        while left:
            self._wait(self._in, select.POLLOUT, deadline)
            try:
                left = left[os.write(self._in, left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise EndedError from None

    def receive(self, deadline: float) -> bytes:
        """The next message.

        Raises:
            EndedError: there is none.
            LimitError: there is none in time, or it is longer than the program may print.
        """
        (size,) = struct.unpack("<I", self._exactly(4, deadline))
        if size > self.limits.output_bytes:
            self.kill()
            raise LimitError("output")
        return self._exactly(size, deadline)

    def run(self, first: bytes, text: bytes, deadline: float) -> tuple[int, bytes, str]:
        """Send a message, then ``text`` as standard input, and collect what is printed until the end.

        Returns:
            Exit code (128 + signal if one killed it), standard output, the end of standard error.

        Raises:
            LimitError: it ran too long or printed too much.
        """
        with contextlib.suppress(EndedError):
            self.send(first, deadline)
        left, printed, errors = memoryview(text), bytearray(), bytearray()
        poll = select.poll()
        poll.register(self._in, select.POLLOUT)
        for descriptor in (self._out, self._errors):
            poll.register(descriptor, select.POLLIN)
        said, reading = 0, 2
        while reading:
            events = poll.poll(max(deadline - time.monotonic(), 0) * 1000)
            if not events or said > self.limits.output_bytes:
                self.kill()
                raise LimitError("output" if events else "wall")
            for descriptor, _ in events:
                if descriptor == self._in:
                    left = self._feed(left)
                    if not left:
                        poll.unregister(self._in)
                        assert self._process.stdin is not None
                        self._process.stdin.close()
                    continue
                part = os.read(descriptor, 1 << 16)
                said += len(part)
                if not part:
                    poll.unregister(descriptor)
                    reading -= 1
                elif descriptor == self._out:
                    printed += part
                else:
                    errors = (errors + part)[-_ERRORS_KEPT:]
        return self._code(deadline), bytes(printed), errors.decode(errors="replace")

    def kill(self) -> None:
        """Kill it; its end is waited for by :meth:`close`. May be called from another thread."""
        # With bubblewrap's own process everything inside goes: it is the parent of the namespace's first
        # process, whose death ends all others.
        if self._process.returncode is not None:  # the number may be somebody else's by now
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def ending(self) -> int:
        """The exit code of a process that does not answer any more (it is killed if it goes on in silence)."""
        try:
            return self._code(time.monotonic() + 0.2)
        except LimitError:
            return 128 + signal.SIGKILL

    def _spawn(self, isolation: Isolation, inner: Sequence[str], packages: Sequence[str]) -> subprocess.Popen[bytes]:
        with SyscallFilter() as seccomp:
            return subprocess.Popen(
                isolation.command(inner, self.limits, packages, {str(_INSIDE): f"{_SHOWN}/inside"}, seccomp),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=self._folder or "/",
                env={"LANG": "C.UTF-8", "HOME": self._folder or FOLDER, "PYTHONHASHSEED": "0"},
                pass_fds=[seccomp] if isolation.bwrap else [],
                start_new_session=True,
            )

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _code(self, deadline: float) -> int:
        try:
            code = self._process.wait(max(deadline - time.monotonic(), 0.01))
        except subprocess.TimeoutExpired:
            self.kill()
            raise LimitError("wall") from None
        return code if code >= 0 else 128 - code

    def _feed(self, left: memoryview) -> memoryview:
        try:
            return left[os.write(self._in, left[: 1 << 16]) :]
        except BlockingIOError:
            return left
        except BrokenPipeError:  # it does not read all of its input
            return left[len(left) :]

    def _said(self) -> str:
        """What it printed on standard error, after its end."""
        self.kill()
        said = os.read(self._errors, _ERRORS_KEPT).decode(errors="replace").strip()
        return said.splitlines()[-1] if said else "no message"

    def _exactly(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._wait(self._out, select.POLLIN, deadline)
            part = os.read(self._out, min(size - len(data), 1 << 16))
            if not part:
                raise EndedError
            data += part
        return bytes(data)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            self.kill()
            raise LimitError("wall")
