"""Programming problems in the layouts of the public data sets, and what the tests of the code grader share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hone.core.errors import HoneError
from hone.core.types import Outcome, Scored
from hone.envs.graders.code import Code
from hone.envs.sandbox.bubblewrap import USERS, USERS_END, isolation
from hone.envs.sandbox.limits import Limits

TIGHT = Limits(cpu=1, wall=2.0, memory=256, disk=4, output=64, threads=8)
HUMAN_EVAL: dict[str, str] = {
    "task_id": "HumanEval/1000",
    "prompt": 'import math\n\n\ndef twice(x):\n    return math.prod((2, x))\n\n\ndef double(x):\n    """Twice x."""\n',
    "entry_point": "double",
    "canonical_solution": "    return twice(x)\n",
    "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(2) == 4\n"
    "    assert candidate(0) == 0, 'zero'\n    for x in range(-3, 3):\n        assert candidate(x) == twice(x)\n",
}
MBPP: dict[str, Any] = {
    "task_id": 1000,
    "text": "Write a function to double the first of a pair.",
    "code": "class Pair(object):\r\n  def __init__(self, a, b):\r\n    self.a = a\r\n    self.b = b\r\n"
    "from math import isclose\r\ndef sum(pair):\r\n  return 2 * pair.a",
    "test_setup_code": "p = Pair(1, 1)\np.a = 5",
    "test_list": ["assert sum(Pair(2, 3)) == 4", "assert sum(p) == 10", "assert isclose(sum(Pair(0.5, 0)), 1.0)"],
    "challenge_test_list": [],
}
APPS = {
    "question": "Print twice the number.",
    "input_output": '{"inputs": ["2\\n", "0\\n", "-3\\n"], "outputs": ["4\\n", "0\\n", "-6"]}',
    "solutions": '["print(2 * int(input()))"]',
}
APPS_CALLS = {
    "question": "Double it.",
    "input_output": '{"fn_name": "double", "inputs": [[2], [[1]]], "outputs": [[4], [1, 1]]}',
    "solutions": '["class Solution:\\n    def double(self, x):\\n        return x + x"]',
}
CODE_CONTESTS = {
    "description": "Print twice the number.",
    "public_tests": {"input": ["2\n"], "output": ["4\n"]},
    "private_tests": {"input": ["-3\n"], "output": ["-6\n"]},
    "generated_tests": {"input": [], "output": []},
    "solutions": {"language": [2, 3], "solution": ["cout << 4;", "print(2 * int(input()))"]},
}
PLAIN: dict[str, Any] = {
    "prompt": "Print twice the number.",
    "inputs": ["2\n", "0\n", "-3\n"],
    "outputs": ["4\n", "0\n", "-6"],
    "solution": "print(2 * int(input()))",
}
LAYOUTS = {
    "HumanEval": HUMAN_EVAL,
    "MBPP": MBPP,
    "APPS": APPS,
    "APPS, calls": APPS_CALLS,
    "CodeContests": CODE_CONTESTS,
    "plain": PLAIN,
}


def refusal() -> str:
    """Why nothing can be isolated here; "" where it can."""
    try:
        isolation()
    except HoneError as error:
        return str(error)
    return ""


needs_sandbox = pytest.mark.skipif(bool(refusal()), reason=refusal() or "a sandbox")


def grade(programs: Sequence[str], row: dict[str, Any] = HUMAN_EVAL, **options: Any) -> list[Outcome]:
    columns = {name: [value] * len(programs) for name, value in row.items()}
    return Code(**{"limits": TIGHT, **options}).grade([row.get("prompt", "")] * len(programs), programs, columns)


def value(outcome: Outcome) -> float:
    assert isinstance(outcome, Scored), outcome
    return outcome.value


def feedback(program: str, row: dict[str, Any] = HUMAN_EVAL, **options: Any) -> str:
    (outcome,) = grade([program], row, **options)
    assert isinstance(outcome, Scored), outcome
    return outcome.feedback


def sandboxed(pid: int | None = None) -> set[int]:
    """The processes in or around a sandbox of process ``pid`` (this one by default)."""
    pid = pid or os.getpid()
    users = range(USERS_END - USERS)
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            named = f"hone-sandbox-{pid}".encode() in (folder / "cmdline").read_bytes()
            user = folder.stat().st_uid - USERS
        except OSError:
            continue
        if named or (user in users and (user - pid * 4099) % len(users) < 100_000):
            found.add(int(folder.name))
    return found


def wait_for_none(pid: int | None = None) -> None:
    """No process is left, once the kernel has cleared up."""
    deadline = time.monotonic() + 5
    while sandboxed(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sandboxed(pid) == set()


@contextmanager
def nothing_left() -> Iterator[None]:
    """No process, no file where programs try to write one, no descriptor remains."""

    def files() -> set[Path]:
        tried = [Path(p) for p in ("/x", "/usr/x", "/usr/lib/x", "/dev/x", "/dev/shm/x", "/etc/x", "/tmp/1", "x", "1")]
        return {p for p in tried if p.exists()} | set(Path("/tmp").glob(f"hone-program-{os.getpid()}-*"))

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before, opened = files(), descriptors()
    yield
    wait_for_none()
    assert files() <= before
    assert descriptors() <= opened
