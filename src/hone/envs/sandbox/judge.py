"""One program against its tests: who is asked what, and whose fault an end is."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hone.envs.sandbox.bubblewrap import Isolation
from hone.envs.sandbox.inside.wire import decode, encode
from hone.envs.sandbox.limits import Limits
from hone.envs.sandbox.process import Confined, EndedError, LimitError, SandboxError
from hone.envs.sandbox.suite import UnitTests

_GRACE = 5.0
"""Seconds that the tests have left for their verdict when the program's time is over."""

_LONGEST_QUESTION = 64 * 1024
"""KiB."""

_PROCESSOR_TIME = 128 + signal.SIGXCPU
_SIGNALS = {
    128 + signal.SIGKILL: "was killed",
    128 + signal.SIGSEGV: "crashed (segmentation fault)",
    _PROCESSOR_TIME: "used up its processor time",
}


class FaultyTestsError(Exception):
    """The tests themselves are at fault."""


@dataclass(frozen=True)
class Case:
    """One run of a program that reads standard input.

    Attributes:
        text: its input.
        expected: what it should print; compared line by line, white space at the end of lines and of the text ignored.
    """

    text: str
    expected: str


@dataclass(frozen=True)
class Verdict:
    """What became of a program.

    Attributes:
        right: every test passed.
        passed: how many did.
        total: of how many.
        test: the first that did not, as the data set has it; "" where it broke down before.
        said: what happened in it, without what was expected.
        number: its number, from 1; 0 where it broke down before the first.
    """

    right: bool
    passed: int
    total: int
    test: str = ""
    said: str = ""
    number: int = 0


class Judge:
    """Runs programs. Each runs in a fresh sandbox, its tests in another.

    Args:
        isolation: from :func:`hone.envs.sandbox.bubblewrap.isolation`.
        limits: of every program, and of its tests.
        packages: folders of Python packages for both.
        partial: go on after the first failure.
        watch: told of every process that is started, so that somebody else may kill it.
    """

    def __init__(
        self,
        isolation: Isolation,
        limits: Limits,
        packages: Sequence[str] = (),
        partial: bool = False,
        watch: Callable[[Confined], object] = lambda _: None,
    ) -> None:
        self._isolation, self._limits, self._packages = isolation, limits, packages
        self._partial, self._watch = partial, watch

    def functions(self, program: str, tests: UnitTests) -> Verdict:
        """Tests that call the program's functions.

        Raises:
            SandboxError: no sandbox, or that of the tests went away.
            FaultyTestsError: the tests are at fault.
        """
        try:
            prepared = tests.prepared()
        except (SyntaxError, ValueError, RecursionError) as error:
            raise FaultyTestsError(f"the tests are not Python: {error}") from error
        total = max(len(prepared.texts), 1)
        with self._start("program") as tested:
            deadline = time.monotonic() + self._limits.wall
            broken = self._load(tested, program, deadline)
            if broken:
                return Verdict(False, 0, total, said=broken)
            before = time.monotonic()
            with self._start("tests") as testing:
                deadline += time.monotonic() - before  # starting them is not the program's time
                found = self._converse(testing, tested, encode([prepared.message, self._partial]), deadline)
        if found[0] == "fault":
            raise FaultyTestsError(str(found[1]))
        if found[0] == "right":
            return Verdict(True, total, total)
        _, passed, number, said = found
        test = prepared.texts[number] if 0 <= number < len(prepared.texts) else ""
        return Verdict(False, min(passed, total - 1), total, test, said, number + 1)

    def cases(self, program: str, cases: Sequence[Case]) -> Verdict:
        """Runs of a program that reads standard input and prints: one process per case.

        Raises:
            SandboxError: no sandbox.
        """
        passed, first = 0, None
        for number, case in enumerate(cases, start=1):
            said, stopped = self._case(program, case)
            if not said:
                passed += 1
                continue
            said, test = f"on input {_brief(case.text)} {said}", f"expected {_brief(case.expected)}"
            first = first or Verdict(False, 0, len(cases), test, said, number)
            if stopped or not self._partial:
                break
        return Verdict(True, passed, len(cases)) if first is None else replace(first, passed=passed)

    def _start(self, module: str, functions: bool = True) -> Confined:
        limits = self._limits
        if module == "tests":  # their questions may hold long arguments, and they need time after the program's
            limits = replace(limits, cpu=limits.cpu + int(_GRACE), output=max(limits.output, _LONGEST_QUESTION))
        process = Confined(module, self._isolation, limits, self._packages, functions=functions)
        self._watch(process)
        return process

    def _load(self, tested: Confined, program: str, deadline: float) -> str:
        """Run the program's top level; what went wrong, or ""."""
        try:
            tested.send(_bytes(program), deadline)
            reply = tested.receive(deadline)
        except (EndedError, LimitError) as error:
            return f"the program {self._end(tested, error)}"
        if reply == b"+":
            return ""
        try:
            _, name, message, line = decode(reply[1:])
        except (ValueError, TypeError):
            return "the program does not run"
        if not all(isinstance(part, str) for part in (name, message, line)):  # it has written that itself
            return "the program does not run"
        return f"the program raised {name}: {message}{f' (in: {line})' if line else ''}"

    def _converse(self, testing: Confined, tested: Confined, tests: bytes, deadline: float) -> list[Any]:
        """Pass questions of the tests on to the program and its answers back, unread, until there is a verdict."""
        answered = False
        try:
            testing.send(tests, deadline + _GRACE)
            while True:
                said = testing.receive(deadline + _GRACE)
                if said[:1] == b"!":
                    verdict: list[Any] = decode(said[1:])
                    return verdict
                try:
                    tested.send(said[1:], deadline)
                    reply = tested.receive(deadline)
                except (EndedError, LimitError) as error:
                    reply = b"." + self._end(tested, error).encode()
                answered = True
                testing.send(reply, deadline + _GRACE)
        except LimitError as error:
            if answered:  # what the program gave them may have been meant to keep them busy
                return ["wrong", 0, -1, "the tests could not cope with what the program returned"]
            raise FaultyTestsError(f"the tests broke the limit on {error.what} without calling the program") from error
        except EndedError as error:
            if answered:
                return ["wrong", 0, -1, "the tests could not cope with what the program returned"]
            if (code := testing.ending()) == _PROCESSOR_TIME:
                raise FaultyTestsError(f"the tests {_SIGNALS[code]} without calling the program") from error
            raise SandboxError("the sandbox of the tests went away") from error

    def _case(self, program: str, case: Case) -> tuple[str, bool]:
        """What went wrong, "" if the output is as expected; and whether the program had to be stopped."""
        with self._start("program", functions=False) as tested:
            deadline = time.monotonic() + self._limits.wall
            try:
                code, printed, errors = tested.run(_bytes(program), _bytes(case.text), deadline)
            except LimitError as error:
                return f"the program {self._end(tested, error)}", True
        if code != 0:
            last = errors.strip().splitlines()[-1:] or ["it said nothing"]
            return f"the program {_SIGNALS.get(code, f'ended with exit code {code}')}: {last[0]}", code in _SIGNALS
        text = printed.decode(errors="replace")
        return "" if _lines(text) == _lines(case.expected) else f"the program printed {_brief(text)}", False

    def _end(self, process: Confined, error: EndedError | LimitError) -> str:
        if isinstance(error, EndedError):
            code = process.ending()
            return _SIGNALS.get(code, f"ended by itself (exit code {code})")
        if error.what == "output":
            return f"gave back or printed more than {self._limits.output} KiB"
        return f"did not finish within {self._limits.wall:g} s"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _brief(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:150]} … {text[-40:]}")
