"""Inside a sandbox of its own: the tests. The program is in another process, which is asked over a pipe.

Whatever the tests compare has come through :mod:`inside.wire`, so it is plain: no ``__eq__`` of the program's
runs here, and there is no frame, module or object of the tests' that the program could reach.
"""

from __future__ import annotations

import builtins
import sys

from .pipe import Pipe, confine
from .wire import Ref, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_LONGEST = 1000
_FAULTS_OF_THE_TESTS = (NameError, ImportError, SyntaxError)


class Gone(BaseException):
    """The program does not answer any more; no test can catch that as an exception of the program's."""


class Stop(BaseException):
    """The first failure was found, and nobody asks for the others."""


class Unsendable(BaseException):
    """The tests hand the program what cannot be handed over, such as a function: the tests' fault."""


class Program:
    """Asks the program, and remembers what it said last."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.asked, self.gone = 0, False
        self.said = ""
        self.error: BaseException | None = None

    def ask(self, what: str, request: list[Any]) -> Any:
        """The program's answer to one request.

        Args:
            what: the request in words.
            request: ``["call", function or its name, positional, named]``, ``["get", object, attribute]`` or
                ``["set", object, attribute, value]``.

        Raises:
            Gone: it was killed, or says what is no value.
            Unsendable: an argument is not plain.
            Exception: the built-in class of what the program raised.
        """
        self.asked += 1
        if self.gone:
            raise Gone
        try:
            message = encode(request, _refer)
        except TypeError as error:
            raise Unsendable(f"{what}: {error}") from None
        except RecursionError:  # only what the program itself gave back is nested like that
            self._lose(f"{what} was to be called with what it gave back, nested too deeply")
        self._pipe.send(b"?" + message)
        reply = self._pipe.receive()
        if reply[:1] not in (b"+", b"-"):
            self._lose(f"{what} {reply[1:].decode()}")
        try:
            value = decode(reply[1:], self._remote)
            if reply[:1] == b"+":
                self.said = f"{what} returned {_brief(value)}"
                return value
            kind, name, text, line = map(str, value)
        except (ValueError, TypeError, RecursionError):
            self._lose(f"{what} gave back what is not a value")
        self.said = f"{what} raised {name}: {text}{f' (in: {line})' if line else ''}"[:_LONGEST]
        found = getattr(builtins, kind, None)
        known = isinstance(found, type) and issubclass(found, Exception)
        try:
            self.error = found(text) if known else RuntimeError(text)  # type: ignore[misc]
        except TypeError:  # UnicodeDecodeError and its like want more than a message
            self.error = RuntimeError(text)
        raise self.error

    def _remote(self, ref: Ref) -> Remote:
        return Remote(self, ref)

    def _lose(self, said: str) -> None:
        self.gone, self.said = True, said
        raise Gone


class Remote:
    """An object that the program keeps. It has no value here: it equals itself and nothing else."""

    def __init__(self, program: Program, ref: Ref) -> None:
        self.__dict__.update(_program=program, _ref=ref)

    def __setattr__(self, name: str, value: Any) -> None:
        self._program.ask(f"{self!r}.{name} = {_brief(value)}", ["set", self, name, value])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._program.ask(f"{self!r}.{name}", ["get", self, name])

    def __call__(self, *positional: Any, **named: Any) -> Any:
        """Call it, there."""
        return self._program.ask(f"{self!r}{_call(positional, named)}", ["call", self, list(positional), named])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and other._ref.number == self._ref.number

    def __hash__(self) -> int:
        return hash(self._ref.number)

    def __repr__(self) -> str:
        return f"<{self._ref.kind}>"


class Suite:
    """The tests of one problem, run against a program; see :class:`hone.envs.sandbox.suite.UnitTests`."""

    def __init__(self, tests: Mapping[str, Any], partial: bool, program: Program) -> None:
        self._tests, self._partial, self._program = tests, partial, program
        self._names: dict[str, Any] = {"__name__": "tests", "__failed__": self.failed, "__passed__": self.passed}
        self._state: dict[int, bool] = {}
        self._first: list[Any] | None = None

    def run(self) -> list[Any]:
        """``["right"]``, ``["wrong", tests passed, which test failed first, what was said]`` or ``["fault", reason]``.

        The last is the tests' own fault.
        """
        try:
            self._run()
        except Stop:
            pass
        except Gone:
            self._note(len(self._state))
        except Unsendable as error:
            return ["fault", str(error)]
        except Exception as error:
            if self._is_own(error):
                return ["fault", f"{type(error).__name__}: {error}"]
            self._note(-1, error)
        if self._program.gone:  # and a bare `except` of the tests has hidden it
            self._note(-1)
        if self._first is None:
            return ["right"] if self._program.asked else ["fault", "the tests never call the program"]
        return ["wrong", sum(self._state.values()), *self._first]

    def _run(self) -> None:
        if self._tests["random"]:
            import random

            random.seed(0)  # the same tests every time
        # What the setup does not define itself, the program must; of the prompt's stub the program has the rest.
        self._names |= {name: self._function(name) for name in self._tests["names"]}
        exec(compile(self._tests["setup"], "setup", "exec"), self._names)
        if self._tests["check"]:
            self._names[self._tests["entry"]] = self._function(self._tests["entry"])
            self._names[self._tests["check"]](self._names[self._tests["entry"]])
            return
        for number, source in enumerate(self._tests["sources"]):
            try:
                exec(compile(source, "test", "exec"), self._names)
            except Exception as error:
                self.failed(number, error)
            else:
                self.passed(number)

    def _function(self, name: str) -> Any:
        def function(*positional: Any, **named: Any) -> Any:
            return self._program.ask(f"{name}{_call(positional, named)}", ["call", name, list(positional), named])

        return function

    def passed(self, number: int) -> None:
        """A test went well (this time: one in a loop may still fail)."""
        self._state.setdefault(number, True)

    def failed(self, number: int, error: BaseException) -> None:
        """A test went wrong."""
        if self._is_own(error):
            raise error
        self._state[number] = False
        self._note(number, error)
        if not self._partial:
            raise Stop

    def _is_own(self, error: BaseException) -> bool:
        return isinstance(error, _FAULTS_OF_THE_TESTS) and error is not self._program.error

    def _note(self, number: int, error: BaseException | None = None) -> None:
        if self._first is not None:
            return
        said = self._program.said
        if error is not None and error is not self._program.error and not isinstance(error, AssertionError):
            said += f"; then the test raised {type(error).__name__}"  # its message may say what was expected
        self._first = [number, said]


def main(settings: Mapping[str, Any]) -> None:
    """Say that the sandbox stands, receive the tests, send the verdict."""
    sys.path += settings["packages"]
    confine(settings)
    pipe = Pipe()
    pipe.send(b"ready")
    tests, partial = decode(pipe.receive())
    pipe.silence()
    verdict = Suite(tests, partial, Program(pipe)).run()
    pipe.send(b"!" + encode(verdict))


def _refer(value: Any) -> Ref:
    if isinstance(value, Remote):
        ref: Ref = value._ref
        return ref
    raise TypeError(f"a {type(value).__name__} cannot be handed to a program in another process")


def _call(positional: tuple[Any, ...], named: dict[str, Any]) -> str:
    return f"({', '.join([_brief(v) for v in positional] + [f'{k}={_brief(v)}' for k, v in named.items()])})"


def _brief(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of too many digits; nested too deeply
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 200 else f"{text[:150]} … {text[-40:]}"
