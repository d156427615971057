"""Programs are judged by running them; hostile ones are contained, worth nothing, and disturb nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hostile_programs
import pytest
from code_data import (
    APPS_CALLS,
    HUMAN_EVAL,
    MBPP,
    PLAIN,
    TIGHT,
    feedback,
    grade,
    needs_sandbox,
    nothing_left,
    sandboxed,
    value,
    wait_for_none,
)

from hone.core.errors import HoneError
from hone.core.types import Failed, Scored
from hone.envs.graders.base import preflight_grader
from hone.envs.graders.code import Code
from hone.envs.graders.rubric import Rubric
from hone.envs.sandbox.bubblewrap import Isolation, isolation
from hone.envs.sandbox.judge import Judge
from hone.envs.sandbox.suite import UnitTests

RIGHT = "def double(x):\n    return 2 * x\n"
HONEST: dict[str, float] = {
    RIGHT: 1.0,
    "    return x + x\n": 1.0,
    "Here it is:\n```python\nimport math\ndef double(x):\n    return math.prod((2, x))\n```\nIt multiplies.": 1.0,
    "def double(x):\n    return 4\n": 0.0,
    "def double(x):\n    return x / 0\n": 0.0,
}
"""Completions and what they are worth."""


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with nothing_left():
        yield


@needs_sandbox
def test_hostile_programs_get_nothing_and_honest_ones_among_them_what_they_get_alone() -> None:
    assert [value(outcome) for outcome in grade(list(HONEST))] == list(HONEST.values())
    hostile, honest = list(hostile_programs.FUNCTIONS.items()), list(HONEST)
    assert len(hostile) >= 25
    mixed = [item for i, attack in enumerate(hostile) for item in (attack, ("honest", honest[i % len(honest)]))]
    outcomes = grade([program for _, program in mixed], workers=4)
    wrong = [
        (name, outcome)
        for (name, program), outcome in zip(mixed, outcomes, strict=True)
        if value(outcome) != (HONEST[program] if name == "honest" else 0.0)
    ]
    assert wrong == []


@needs_sandbox
def test_hostile_programs_that_read_standard_input() -> None:
    outcomes = grade([*hostile_programs.STDIN.values(), PLAIN["solution"]], PLAIN, workers=4)
    found = dict(zip([*hostile_programs.STDIN, "honest"], map(value, outcomes), strict=True))
    assert found == {**dict.fromkeys(hostile_programs.STDIN, 0.0), "honest": 1.0}


def test_the_attacks_are_no_strawmen() -> None:
    """In the process that compares, or in an ordinary one, they work."""
    for name in (
        "equal to everything",
        "integer equal to everything",
        "list of things equal to everything",
        "reading other files",
        "opening sockets",
        "starting a program",
        "raising its limits",
        "memory that no limit counts",
    ):
        script = hostile_programs.FUNCTIONS[name] + "\nassert double(2) == 4, name\n"
        if os.geteuid() == 0 or name != "raising its limits":
            subprocess.run([sys.executable, "-c", f"name = {name!r}\n{script}"], check=True, capture_output=True)


@needs_sandbox
def test_a_program_without_privileges_is_contained_as_well() -> None:
    """The other way of isolating, which people who are not root get: a user namespace."""
    found = isolation()
    tests = UnitTests(HUMAN_EVAL["prompt"] + HUMAN_EVAL["test"], check="check", entry="double")
    other = Isolation(found.bwrap, own_user=not found.own_user) if found.own_user else found
    judge = Judge(other, TIGHT)
    assert judge.functions(RIGHT, tests).right
    for name in ("reading other files", "writing outside", "opening sockets", "remounting", "killing the parent"):
        assert not judge.functions(hostile_programs.FUNCTIONS[name], tests).right, name
    assert "MemoryError" in judge.functions(hostile_programs.FUNCTIONS["memory bomb"], tests).said


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("def double(x):\n    return 4", "Test 2 of 3 failed: double(0) returned 4"),
        (
            "def double(x):\n    return x[0]",
            "double(2) raised TypeError: 'int' object is not subscriptable (in: return x[0])",
        ),
        ("def double(x", "The program raised SyntaxError: '(' was never closed (in: def double(x)"),
        ("def double(x):\n    import os\n    os._exit(0)", "double(2) ended by itself (exit code 0)"),
        ("import time\ndef double(x):\n    time.sleep(9)", "double(2) did not finish within 2 s"),
        ("def double(x):\n    return 'x' * 100_000", "double(2) gave back or printed more than 64 KiB"),
        ("def double(x):\n    return [0] * 10**9", "double(2) raised MemoryError"),
        ("```python\ndef double(x):", "There is no program in the answer."),
    ],
)
def test_the_first_failing_test_is_told_without_what_was_expected(program: str, said: str) -> None:
    assert said in feedback(program)


@needs_sandbox
def test_processor_time_is_counted_apart_from_the_clock() -> None:
    limits = replace(TIGHT, wall=30.0)
    assert "double(2) used up its processor time" in feedback("def double(x):\n    while True: pass", limits=limits)


@needs_sandbox
def test_feedback_shows_the_test_if_asked_is_bounded_and_can_be_off() -> None:
    wrong = "def double(x):\n    return 4"
    assert feedback(wrong, feedback="test").endswith("The test: assert candidate(0) == 0, 'zero'")
    assert feedback(wrong, feedback="none") == ""
    assert len(feedback("def double(x):\n    raise ValueError('x' * 999)", longest_feedback=50)) == 50
    assert "\x1b" not in feedback("def double(x):\n    raise ValueError('\\x1b[31m')")
    assert feedback("print(1)", PLAIN) == "Test 1 of 3 failed: on input '2\\n' the program printed '1\\n'"
    assert feedback("print(1)", PLAIN, feedback="test").endswith("The test: expected '4\\n'")
    assert "ZeroDivisionError" in feedback("1 / 0", PLAIN)


@needs_sandbox
def test_partial_credit_is_the_share_of_tests_passed() -> None:
    programs = [
        RIGHT,
        "def double(x):\n    return 4",
        "def double(x):\n    return abs(2 * x)",
        "def double(x):\n    exit()",
    ]
    # Of the three assertions 4 passes the first; abs all but the one in the loop over negative numbers.
    assert [value(o) for o in grade(programs, partial=True)] == [1.0, 1 / 3, 2 / 3, 0.0]
    assert [value(o) for o in grade(programs)] == [1.0, 0.0, 0.0, 0.0]
    assert [value(o) for o in grade(programs[:2], partial=True, correct=2.0, floor=-1.0)] == [2.0, 0.0]
    texts = [PLAIN["solution"], "print(4)", "print(abs(2 * int(input())))", "exit(1)"]
    assert [value(o) for o in grade(texts, PLAIN, partial=True)] == [1.0, 1 / 3, 2 / 3, 0.0]
    slow = "x = int(input())\nwhile x == 0: pass\nprint(2 * x)"
    assert value(grade([slow], PLAIN, partial=True)[0]) == 1 / 3  # what comes after the hang is not tried


@needs_sandbox
def test_objects_of_the_programs_stay_with_the_program() -> None:
    right = str(MBPP["code"])
    lazy = "class Pair:\n    def __init__(self, a, b): pass\ndef sum(p): return 4"
    forged = "def isclose(*a): return True\nclass Pair:\n    def __init__(self, a, b): self.a = a\n"
    forged += "def sum(p): return 2 * p.a if p.a > 1 else 7"
    assert [value(o) for o in grade([right, lazy, forged], MBPP)] == [1.0, 0.0, 0.0]
    methods = {"prompt": "?", "test_list": ["c = Counter(1)\nc.add(2)\nassert c.total() == 3 and c.n == 3"]}
    counter = "class Counter:\n    def __init__(self, n): self.n = n\n    def add(self, n): self.n += n\n"
    assert value(grade([counter + "    def total(self): return self.n"], methods)[0]) == 1.0
    assert value(grade([counter + "    def total(self): return self"], methods)[0]) == 0.0


VALUES = """[None, True, 1, -(2**200), 1.5, float("inf"), -0.0, 1j, "é\\ud800", b"\\x00", [1, [2]], (1,)]"""
CONTAINERS = """[{1, 2}, frozenset([3]), {"a": (1,), 2: []}, range(3), [], "", {}]"""


@needs_sandbox
def test_plain_values_cross_unchanged() -> None:
    tests = [
        f"values = {VALUES} + {CONTAINERS}\nassert [repr(same(v)) for v in values] == [repr(v) for v in values]",
        "assert same(same) if False else True\nassert same(x=3) == 3 and same(float('nan')) != same(1)",
        "assert list(count(3)) == [0, 1, 2] and count(3) != [0, 1, 2] and next(count(1)) == 0",
        "assert keys() == {1, 2} and sorted(values_()) == [3, 4] and point() == (1, 2) and counter() == {'a': 2}",
        "try:\n    fail()\n    assert False, 'nothing raised'\nexcept ValueError as e:\n    assert str(e) == 'no'",
        "assert own() is not None and own() != own() and not isinstance(own(), int)",
        "assert [v for v in big()] == list(range(300)) and huge() == 10**5000",
    ]
    program = """
import collections
def same(x=None): return x
def count(n):
    for i in range(n): yield i
def keys(): return {1: 3, 2: 4}.keys()
def values_(): return {1: 3, 2: 4}.values()
Point = collections.namedtuple("Point", "x y")
def point(): return Point(1, 2)
def counter(): return collections.Counter("aa")
class Mine(ValueError): pass
def fail(): raise Mine("no")
class Own:
    def __eq__(self, other): return True
def own(): return Own()
def big(): return list(range(300))
def huge(): return 10**5000
"""
    assert grade([program], {"prompt": "?", "test_list": tests}, feedback="test")[0] == Scored(
        1.0, answer=program.rstrip()
    )


@needs_sandbox
def test_the_tests_own_faults_are_failures_and_those_of_programs_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hone.envs.sandbox.judge._GRACE", 2.0)
    cases = {
        "assert double(2) == four": "",  # a name that nobody defines: the program should have
        "import nonsense\nassert double(2) == 4": "ModuleNotFoundError",
        "assert double(2 ==": "not Python",
        "assert True": "never call",
        "assert double(lambda: 1) == 4": "cannot be handed to a program",
        "while True: pass": "without calling the program",
    }
    for test, reason in cases.items():
        (outcome,) = grade([RIGHT], {"prompt": "?", "test_list": [test]})
        if reason:
            assert isinstance(outcome, Failed), test
            assert outcome.kind == "exception"
            assert reason in outcome.reason
        else:
            assert value(outcome) == 0.0
    (outcome,) = grade([RIGHT], {"prompt": "?", "answer": "4"})
    assert isinstance(outcome, Failed)
    assert "no known layout" in outcome.reason
    busy = {"prompt": "?", "test_list": ["for i in double(1): pass"]}
    assert value(grade(["def double(x): return range(10**18)"], busy)[0]) == 0.0
    swallowed = {"prompt": "?", "test_list": ["try:\n    double(1)\nexcept:\n    pass"]}
    assert [value(o) for o in grade(["def double(x): exit()", "import os\ndef double(x): os._exit(0)"], swallowed)] == [
        1,
        0,
    ]


@needs_sandbox
def test_chance_is_the_same_every_time() -> None:
    row = {"prompt": "?", "test_list": ["import random\nassert pick() == -1", "assert order() == 0"]}
    program = "import random\ndef pick(): return random.random()\ndef order(): return list({'a', 'b', 'c'})"
    assert len({feedback(program, row) for _ in range(3)}) == 1


IDIOMS = [
    "from sys import stdin\ndef main():\n    print(2 * int(stdin.readline()))\nif __name__ == '__main__':\n    main()",
    "import sys\nsys.stdout.write(str(2 * int(sys.stdin.buffer.read())))\nsys.exit()",
    "print(2 * int(open(0).read()))\nexit()",
    "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return input()\nprint(2 * int(asyncio.run(f())))",
    "import threading, sys\nsys.setrecursionlimit(10**6)\nthreading.stack_size(2**26)\n"
    "def deep(n): return 0 if n == 0 else deep(n - 1)\n"
    "t = threading.Thread(target=lambda: print(2 * int(input()) + deep(50000)))\nt.start()\nt.join()",
    "from dataclasses import dataclass\nimport pickle\n@dataclass\nclass A:\n    x: int\n"
    "print(2 * pickle.loads(pickle.dumps(A(int(input())))).x)",
    "import tempfile\nwith tempfile.TemporaryFile('w+') as f:\n"
    "    f.write(input())\n    f.seek(0)\n    print(2 * int(f.read()))",
    "import signal, logging\nsignal.alarm(5)\nlogging.warning('on standard error')\nprint(2 * int(input()), ' \\n')",
]


@needs_sandbox
def test_what_programs_of_people_do_works() -> None:
    assert [value(outcome) for outcome in grade(IDIOMS, PLAIN)] == [1.0] * len(IDIOMS)


@needs_sandbox
def test_packages_are_there_for_programs_and_tests_where_they_are_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "twofold.py").write_text("def twice(x):\n    return 2 * x\n")
    row = {"prompt": "?", "test_list": ["import twofold\nassert double(2) == twofold.twice(2)"]}
    program = "import twofold\ndouble = twofold.twice"
    assert value(grade([program], row, packages=(str(tmp_path),))[0]) == 1.0
    assert "ModuleNotFoundError" in feedback(program, row)


@needs_sandbox
def test_calls_of_a_solution_class() -> None:
    good = "class Solution:\n    def double(self, x):\n        return x + x"
    assert [value(o) for o in grade([good, "def double(x): return x * 2", "def double(x): return x"], APPS_CALLS)] == [
        1,
        1,
        0,
    ]


def test_without_bubblewrap_it_refuses_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    isolation.cache_clear()
    try:
        with pytest.raises(HoneError, match="apt-get install bubblewrap"):
            preflight_grader(Rubric((Code(),)), "?", RIGHT, HUMAN_EVAL)
        (outcome,) = grade([RIGHT])
        assert isinstance(outcome, Failed)
        assert outcome.kind == "gone"
    finally:
        isolation.cache_clear()


def test_a_machine_without_namespaces_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _: str(broken))
    isolation.cache_clear()
    try:
        with pytest.raises(HoneError, match=r"No permissions to create new namespace.*user namespaces.*unsafe = true"):
            isolation()
    finally:
        isolation.cache_clear()


def test_unsafe_still_limits_and_leaves_no_file() -> None:
    programs = [RIGHT, "open('left', 'w').write('x')\n" + RIGHT, hostile_programs.FUNCTIONS["memory bomb"]]
    programs += [hostile_programs.FUNCTIONS[name] for name in ("loop", "fork bomb", "opening sockets")]
    assert [value(o) for o in grade(programs, unsafe=True)] == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


@needs_sandbox
def test_a_sandbox_that_goes_away_is_the_graders_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hone.envs.sandbox.process._SHOWN", "/dev/null/x")
    (outcome,) = grade([RIGHT])
    assert isinstance(outcome, Failed)
    assert outcome.kind == "gone"


SCRIPT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell has started this in the background
sys.path.insert(0, {support!r})
from code_data import HUMAN_EVAL
from hone.envs.graders.code import Code
from hone.envs.sandbox.limits import Limits
programs = ["import time\\ntime.sleep(1000)"] * 20
columns = {{name: [value] * len(programs) for name, value in HUMAN_EVAL.items()}}
print("ready", flush=True)
Code(limits=Limits(wall=500.0)).grade(["?"] * len(programs), programs, columns)
"""


@needs_sandbox
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_survives_ctrl_c_or_a_killed_run(number: int) -> None:
    script = SCRIPT.format(support=str(Path(hostile_programs.__file__).parent))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 20
        while len(sandboxed(process.pid)) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(sandboxed(process.pid)) >= 4
        time.sleep(1)  # until the programs run: before, the end of their pipe would end them anyway
        started = time.monotonic()
        process.send_signal(number)
        try:
            process.wait(20)
        finally:
            process.kill()
        assert time.monotonic() - started < 10
        assert process.returncode != 0
    wait_for_none(process.pid)
