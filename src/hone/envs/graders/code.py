"""Programs, judged by running them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from hone.core.errors import HoneError
from hone.core.types import Failed, Outcome, Scored
from hone.envs.code_problems import read_problem
from hone.envs.graders._program import complete, read_program
from hone.envs.graders.base import Columns, Prompt
from hone.envs.sandbox.bubblewrap import UNSAFE, isolation
from hone.envs.sandbox.judge import FaultyTestsError, Judge, Verdict
from hone.envs.sandbox.limits import Limits
from hone.envs.sandbox.parallel import Watch, in_parallel
from hone.envs.sandbox.process import SandboxError
from hone.envs.sandbox.suite import UnitTests


@dataclass(frozen=True)
class Code:
    """The answer's program passes the tests of its question.

    The columns hold the tests, in any layout of :mod:`hone.envs.code_problems`. Programs run in a sandbox
    (bubblewrap) without network, other files or other processes; the tests run in another one and know the
    program by its answers alone, so there is nothing in its reach that could be forged. Whatever a program does
    is Scored: wrong, crashed, too slow, too large or hostile, it is worth the floor. No sandbox, or tests
    that are faulty themselves, is :class:`Failed`.

    Attributes:
        correct: value of a program that passes every test.
        floor: value of one that does not, and of an answer without a program.
        partial: between the two by the share of tests passed, instead of all or nothing.
        feedback: what :class:`Scored` says about the first failing test: "call" (what was called and what came
            back), "test" (also the test itself, so what was expected) or "none".
        longest_feedback: characters of it.
        limits: what a program may use.
        packages: folders of Python packages that programs and tests may import; otherwise the standard library
            is all there is.
        workers: programs at a time; 0 is one per core.
        unsafe: run programs as ordinary processes, without isolation, where bubblewrap does not work.
    """

    correct: float = 1.0
    floor: float = 0.0
    partial: bool = False
    feedback: Literal["call", "test", "none"] = "call"
    longest_feedback: int = 500
    limits: Limits = field(default_factory=Limits)
    packages: tuple[str, ...] = ()
    workers: int = 0
    unsafe: bool = False

    def __post_init__(self) -> None:
        if not self.floor < self.correct:
            raise ValueError("floor must be below correct")
        if self.workers < 0 or self.longest_feedback < 1:
            raise ValueError("workers must be at least 0, longest_feedback at least 1")

    def preflight(self) -> None:
        """Try the sandbox.

        Raises:
            HoneError: bubblewrap is missing or does not work, and ``unsafe`` is not set.
        """
        if not self.unsafe:
            isolation()

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """One outcome per completion."""
        try:
            isolated = UNSAFE if self.unsafe else isolation()
        except HoneError as error:
            return [Failed(str(error), "gone") for _ in completions]
        watch = Watch()
        judge = Judge(isolated, self.limits, self.packages, self.partial, watch.add)
        rows = [
            {**({"prompt": prompt} if isinstance(prompt, str) else {}), **{name: columns[name][i] for name in columns}}
            for i, prompt in enumerate(prompts)
        ]
        jobs = [partial(self._grade, judge, text, row) for text, row in zip(completions, rows, strict=True)]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return in_parallel(jobs, self.workers or cores, watch.kill_all)

    def _grade(self, judge: Judge, completion: str, row: dict[str, Any]) -> Outcome:
        program = read_program(completion)
        try:
            problem = read_problem(row)
            if not program:
                return Scored(self.floor, feedback=self._bounded("There is no program in the answer."))
            source = complete(program, problem.begun, problem.entry)
            for last in (False, True):
                try:
                    if isinstance(problem.tests, UnitTests):
                        return self._scored(program, judge.functions(source, problem.tests))
                    return self._scored(program, judge.cases(source, problem.tests))
                except (SandboxError, OSError):  # the machine is short of something: perhaps not for long
                    if last:
                        raise
        except FaultyTestsError as error:
            return Failed(str(error), "exception")
        except Exception as error:
            kind: Literal["gone", "exception"] = "gone" if isinstance(error, SandboxError | OSError) else "exception"
            return Failed(f"{type(error).__name__}: {error}", kind)
        raise AssertionError("unreachable")

    def _scored(self, program: str, verdict: Verdict) -> Scored:
        if verdict.right:
            return Scored(self.correct, answer=program)
        share = verdict.passed / verdict.total if self.partial else 0.0
        value = self.floor + (self.correct - self.floor) * share
        said = verdict.said[:1].upper() + verdict.said[1:]
        if verdict.number:
            said = f"Test {verdict.number} of {verdict.total} failed: {verdict.said}"
        if self.feedback == "test" and verdict.test:
            said += f"\nThe test: {verdict.test}"
        return Scored(value, answer=program, feedback=self._bounded(said))

    def _bounded(self, said: str) -> str:
        if self.feedback == "none":
            return ""
        kept = "".join(letter for letter in said if letter.isprintable() or letter == "\n")
        return kept if len(kept) <= self.longest_feedback else kept[: self.longest_feedback - 1] + "…"
