"""Inside the sandbox: the program under test. Nothing in this process is believed by anyone outside it.

It learns arguments, and a program that reads standard input its input; never a test, never what is expected.
"""

from __future__ import annotations

import builtins
import sys

from .pipe import Pipe, confine
from .wire import Ref, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType
    from typing import Any

_FILE = "program.py"


def main(settings: Mapping[str, Any]) -> None:
    """Say that the sandbox stands, receive the program, run it."""
    sys.path += settings["packages"]
    confine(settings)
    pipe = Pipe(keep_standard=not settings["functions"])
    pipe.send(b"ready")
    source = pipe.receive().decode("utf-8", "surrogatepass")
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # what `site` adds, which is not loaded
    if "random" in source:
        import random

        random.seed(0)  # the same program, the same outcome
    if settings["functions"]:
        pipe.silence()
        _Functions(pipe, source).serve()
    else:
        exec(compile(source, _FILE, "exec"), _module("__main__").__dict__)


def _module(name: str) -> ModuleType:
    module = type(sys)(name)
    sys.modules[name] = module  # dataclasses and pickle look their class's module up
    return module


class _Functions:
    """Answers calls of what the program defines."""

    def __init__(self, pipe: Pipe, source: str) -> None:
        self._pipe, self._source = pipe, source
        self._kept: dict[int, Any] = {}
        self._names: dict[str, Any] = {}

    def serve(self) -> None:
        """Run the program, then answer until nobody asks."""
        module = _module("program")
        try:
            # Not "__main__": what stands behind the customary guard reads input or prints.
            exec(compile(self._source, _FILE, "exec"), module.__dict__)
        except BaseException as error:
            return self._pipe.send(_say(error, self._source))
        self._names = module.__dict__
        self._pipe.send(b"+")
        while True:
            try:
                request = self._pipe.receive()
            except EOFError:
                return None
            self._pipe.send(self._answer(request))

    def _answer(self, request: bytes) -> bytes:
        try:
            wanted, *rest = decode(request, self._resolve)
            if wanted == "call":
                target, positional, named = rest
                value = self._target(target)(*positional, **named)
            elif wanted == "set":
                value = setattr(*rest)  # type: ignore[func-returns-value]
            else:
                value = getattr(*rest)
            return b"+" + encode(value, self._refer)
        except BaseException as error:
            return _say(error, self._source)

    def _target(self, target: Any) -> Any:
        if not isinstance(target, str):
            return target
        if target not in self._names and "Solution" in self._names:
            return getattr(self._names["Solution"](), target)
        if target not in self._names:
            raise NameError(f"the program does not define {target}")
        return self._names[target]

    def _refer(self, value: Any) -> Ref:
        self._kept[id(value)] = value
        return Ref(id(value), type(value).__name__)

    def _resolve(self, ref: Ref) -> Any:
        return self._kept[ref.number]


def _say(error: BaseException, source: str) -> bytes:
    """The error's built-in class, its own, its message, and the line of the program that raised it, as written."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == _FILE else None
    step = error.__traceback__
    while step is not None:
        line = step.tb_lineno if step.tb_frame.f_code.co_filename == _FILE else line
        step = step.tb_next
    kind = next((c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins"), "Exception")
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except BaseException:
        text = ""
    lines = source.splitlines()
    written = lines[line - 1].strip() if line and 0 < line <= len(lines) else ""
    return b"-" + encode([kind, type(error).__name__, text[:1000], written[:200]])
