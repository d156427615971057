"""Messages over the process's first two file descriptors, and the limits it sets itself before anything runs.

Modules of this folder import as little as they can: they are loaded for every program anew.
"""

from __future__ import annotations

import os
import resource
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Pipe:
    """Length-prefixed messages.

    Args:
        keep_standard: talk over standard input and output themselves (the program's own input follows the
            first message); otherwise they are moved away, so that no program prints into them.
    """

    def __init__(self, keep_standard: bool = False) -> None:
        self._in, self._out = (0, 1) if keep_standard else (os.dup(0), os.dup(1))
        if not keep_standard:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            os.close(null)

    def silence(self) -> None:
        """Drop standard error, too."""
        os.dup2(1, 2)

    def send(self, message: bytes) -> None:
        """Send one message."""
        data = memoryview(struct.pack("<I", len(message)) + message)
        while data:
            data = data[os.write(self._out, data) :]

    def receive(self) -> bytes:
        """The next message.

        Raises:
            EOFError: the other side is gone.
        """
        return self._exactly(struct.unpack("<I", self._exactly(4))[0])

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = os.read(self._in, min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)


def confine(settings: Mapping[str, Any]) -> None:
    """Set the resource limits and become another user, for good.

    Args:
        settings: ``limits`` by the names of :mod:`resource`; ``user``, a number or None; ``filter``, the filter of
            system calls where nobody outside has set it, or b"".
    """
    for name, (soft, hard) in settings["limits"].items():
        resource.setrlimit(getattr(resource, name), (soft, hard))
    user = settings["user"]
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    if settings["filter"]:
        _install(settings["filter"])


def _install(code: bytes) -> None:
    """The filter of system calls, for this process and for good."""
    import ctypes

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
    program = Program(len(code) // 8, code)
    if prctl(no_new_privileges, 1, 0, 0, 0) or prctl(set_seccomp, mode_filter, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the filter of system calls cannot be set")
