"""The child process of :mod:`hone.envs.graders._child`: call one function again and again.

Requests arrive pickled (they come from the parent), replies leave as JSON: whatever runs in here can never
make the parent unpickle anything.
"""

from __future__ import annotations

import ctypes
import importlib
import inspect
import json
import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

_PR_SET_PDEATHSIG = 1


def serve(requests: int, replies: int, parent: int) -> None:
    """Load a function, say ready, answer calls until the pipe closes.

    Args:
        requests: file descriptor of the incoming pipe.
        replies: file descriptor of the outgoing pipe.
        parent: process id of the parent; the kernel kills this process when the parent dies.
    """
    for descriptor in (requests, replies):
        os.set_inheritable(descriptor, False)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return None
    try:
        function = _load(pickle.loads(_receive(requests)))
    except BaseException as error:
        return _send(replies, {"error": _say(error)})
    _send(replies, {"value": []})
    while message := _receive(requests):
        try:
            positional, named = pickle.loads(message)
            reply: dict[str, Any] = {"value": _values(function(*positional, **named))}
        except BaseException as error:
            reply = {"error": _say(error)}
        _send(replies, reply)
    return None


def _load(target: str | bytes) -> Callable[..., Any]:
    if isinstance(target, bytes):
        loaded: Callable[..., Any] = pickle.loads(target)
        return loaded
    module, _, name = target.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _values(result: Any) -> list[Any]:
    if inspect.iscoroutine(result):
        import asyncio

        result = asyncio.run(result)
    if isinstance(result, str | bytes | Mapping) or not hasattr(result, "__iter__"):
        raise TypeError(f"returned {type(result).__name__}, not a list with one number per completion")
    return [_plain(value) for value in result]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else float(value)


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _receive(descriptor: int) -> bytes:
    """One length-prefixed message; empty at the end of the pipe."""
    header = _exactly(descriptor, 8)
    return _exactly(descriptor, struct.unpack("<Q", header)[0]) if header else b""


def _exactly(descriptor: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(descriptor, min(size - len(data), 1 << 20))
        if not part:
            return b""
        data += part
    return bytes(data)


def _send(descriptor: int, reply: Mapping[str, Any]) -> None:
    data = memoryview(json.dumps(reply).encode())
    data = memoryview(struct.pack("<Q", len(data)) + data)
    while data:
        data = data[os.write(descriptor, data) :]
