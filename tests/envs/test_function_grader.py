import math
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hone.core.errors import HoneError
from hone.core.types import Failed, Outcome, Scored
from hone.envs.graders import _child
from hone.envs.graders.base import preflight_grader
from hone.envs.graders.exact import Exact
from hone.envs.graders.function import Function

KILL = os.kill


def grade(function: Function, completions: Sequence[str], **columns: Any) -> list[Outcome]:
    rows = {"answer": ["72"] * len(completions), **columns}
    return function.grade(["?"] * len(completions), completions, rows)


def kinds(outcomes: Sequence[Outcome]) -> list[Any]:
    return [o.kind if isinstance(o, Failed) else o.value for o in outcomes]


def equal(prompts: list[str], completions: list[str], answer: list[str], **columns: Any) -> list[float]:
    return [float(c == a) for c, a in zip(completions, answer, strict=True)]


def test_trl_signature_by_value_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kinds(grade(Function(equal), ["72", "71"])) == [1.0, 0.0]
    (tmp_path / "my_rewards.py").write_text(
        "def half(completions, **_):\n    return [len(c) / 2 for c in completions]\n"
    )
    monkeypatch.chdir(tmp_path)  # the current folder is importable
    assert kinds(grade(Function("my_rewards:half"), ["72", "7"])) == [1.0, 0.5]
    assert "my_rewards" not in sys.modules


def test_conversations_come_as_messages_and_columns_by_name() -> None:
    def reward(prompts: Any, completions: Any, level: Any, **_: Any) -> list[float]:
        assert prompts[0] == [{"role": "user", "content": "2+2?"}]
        assert completions[0] == [{"role": "assistant", "content": "4"}]
        return [n * len(completions[0][0]["content"]) for n in level]

    talk = [{"role": "user", "content": "2+2?"}]
    assert kinds(Function(reward).grade([talk], ["4"], {"level": [3]})) == [3.0]


def test_numbers_of_other_libraries_and_coroutines() -> None:
    async def reward(completions: Any, **_: Any) -> Any:
        import numpy

        return numpy.array([len(c) for c in completions], dtype=numpy.float32)

    assert kinds(grade(Function(reward), ["a", "ab"])) == [1.0, 2.0]
    assert kinds(grade(Function(lambda completions, **_: [True, 2]), ["a", "b"])) == [1.0, 2.0]


def test_not_finite_values_fail_alone() -> None:
    returned = [1.0, math.nan, math.inf, None, 10**400, "1"]
    outcomes = grade(Function(lambda completions, **_: returned), ["x"] * 6)
    assert kinds(outcomes) == [1.0, "not_finite", "not_finite", "not_finite", "not_finite", "exception"]


def test_an_exception_on_one_answer_fails_that_answer_only() -> None:
    outcomes = grade(Function(lambda completions, **_: [float(c) for c in completions]), ["1", "two", "3"])
    assert kinds(outcomes) == [1.0, "exception", 3.0]
    assert isinstance(outcomes[1], Failed)
    assert "ValueError" in outcomes[1].reason
    assert "two" in outcomes[1].reason


def test_wrong_number_of_values_and_no_list() -> None:
    def forgetful(completions: Any, **_: Any) -> list[float]:
        return [1.0 for c in completions if c]

    assert kinds(grade(Function(forgetful), ["a", "", "b"])) == [1.0, "exception", 1.0]
    for returned in (None, 1.0, "11", {"a": 1}):
        (failed,) = grade(Function(lambda completions, _r=returned, **_: _r), ["a"])
        assert isinstance(failed, Failed)
        assert failed.kind == "exception"
        assert "not a list" in failed.reason


def test_a_killed_child_fails_one_answer_and_comes_back() -> None:
    def reward(completions: Any, **_: Any) -> list[float]:
        import os
        import sys

        if "bomb" in completions:
            os.kill(os.getpid(), 9)
        if "exit" in completions:
            os._exit(3)
        if "leave" in completions:
            sys.exit(0)
        return [float(os.getpid())] * len(completions)

    function = Function(reward)
    before, gone, exited, left, after = kinds(grade(function, ["a", "bomb", "exit", "leave", "b"]))
    assert (gone, exited, left) == ("gone", "gone", "exception")
    assert before != after  # another process
    assert after == kinds(grade(function, ["a"]))[0]  # and it stays
    KILL(int(after), 9)  # from outside, between two calls
    assert kinds(grade(function, ["a"]))[0] not in (after, "gone")


def test_a_reward_that_never_returns_is_killed_with_its_children() -> None:
    def reward(completions: Any, answer: Any, **_: Any) -> list[float]:
        import re
        import subprocess

        if "hang" in completions:
            started = subprocess.Popen(["sleep", "1000"])
            with open(answer[0], "a") as file:  # noqa: PTH123
                file.write(f"{started.pid}\n")
            re.match(r"(a+)+$", "a" * 64 + "b")  # holds the interpreter's lock in C
        return [1.0] * len(completions)

    import tempfile

    with tempfile.NamedTemporaryFile("r") as file:
        started = time.monotonic()
        outcomes = grade(Function(reward, timeout=0.4), ["a", "hang", "b"], answer=[file.name] * 3)
        assert kinds(outcomes) == [1.0, "timeout", 1.0]
        assert time.monotonic() - started < 10
        for pid in file.read().split():
            assert not _runs(int(pid))


def _runs(pid: int) -> bool:
    try:
        return "(sleep) Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_function_that_hangs_on_everything_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_child, "_MAX_KILLS", 2)

    def reward(completions: Any, **_: Any) -> list[float]:
        import time

        time.sleep(100)
        return []

    outcomes = grade(Function(reward, timeout=0.1), ["a"] * 5)
    assert kinds(outcomes) == ["timeout"] * 5
    assert isinstance(outcomes[4], Failed)
    assert "not tried" in outcomes[4].reason


def test_prints_do_not_reach_the_transport(capfd: pytest.CaptureFixture[str]) -> None:
    def reward(completions: Any, **_: Any) -> list[float]:
        import os
        import sys

        print("hello from the reward")
        os.write(1, b'{"value": [99]}')
        sys.stdin.read()
        return [1.0] * len(completions)

    assert kinds(grade(Function(reward), ["a"])) == [1.0]
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "hello from the reward" in captured.err


def test_what_cannot_be_loaded_or_sent_says_so() -> None:
    for target, said in (
        ("no_such_module:reward", "No module named 'no_such_module'"),
        ("os.path:no_such_reward", "no_such_reward"),
    ):
        outcomes = grade(Function(target), ["a", "b"])
        assert kinds(outcomes) == ["exception"] * 2
        assert all(isinstance(o, Failed) and said in o.reason for o in outcomes)
    lock = __import__("threading").Lock()
    (failed,) = grade(Function(lambda completions, **_: [float(lock.locked())]), ["a"])
    assert isinstance(failed, Failed)
    assert "cannot be sent" in failed.reason
    with pytest.raises(ValueError, match=r"package\.module:name"):
        Function("reward")


def test_large_batches_pass_through_the_pipes() -> None:
    texts = ["x" * 100_000] * 40
    outcomes = grade(Function(lambda completions, **_: [len(c) for c in completions]), texts)
    assert kinds(outcomes) == [100_000.0] * 40


SCRIPT = """
    import os, sys, time
    from hone.envs.graders.function import Function

    print("script runs", flush=True)          # twice if the child ran the script again
    offset = 2
    f = Function(lambda completions, **_: [len(c) + offset + 0 * os.getpid() for c in completions])
    print([o.value for o in f.grade(["?"], ["abc"], {})], flush=True)
    print(f._child._process.pid, flush=True)
    if "wait" in sys.argv:
        g = Function(lambda completions, **_: time.sleep(1000), timeout=900)
        import threading
        threading.Thread(target=lambda: g.grade(["?"], ["a"], {}), daemon=True).start()
        time.sleep(0.5)
        print(g._child._process.pid, flush=True)
        time.sleep(1000)
"""


def test_a_lambda_from_a_script_without_a_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["script runs", "[5.0]"]
    assert done.stderr == ""
    assert not Path(f"/proc/{lines[2]}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_no_orphan_survives_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    with subprocess.Popen([sys.executable, str(script), "wait"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(4)]
        idle, busy = int(lines[2]), int(lines[3])
        assert _alive(idle)
        assert _alive(busy)
        process.kill()
    deadline = time.monotonic() + 5
    while (_alive(idle) or _alive(busy)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(idle)
    assert not _alive(busy)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_started_by_a_passing_thread_outlives_it() -> None:
    import threading

    function = Function(lambda completions, **_: [float(__import__("os").getpid())])
    first: list[Outcome] = []
    thread = threading.Thread(target=lambda: first.extend(grade(function, ["a"])))
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert kinds(grade(function, ["a"])) == kinds(first)


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (lambda completions, **_: 1 / 0, "ZeroDivisionError"),
        (lambda completions, **_: [math.nan], "nan"),
        (lambda completions, **_: [], "0 values for 1"),
        (lambda completions, **_: None, "NoneType"),
        (lambda completions, **_: time.sleep(100), "did not return within 0.2 s"),
        (lambda prompts, completions: [1.0], "answer"),
    ],
)
def test_preflight_names_the_reward_and_the_reason(reward: Callable[..., Any], said: str) -> None:
    with pytest.raises(HoneError) as caught:
        preflight_grader(Function(reward, timeout=0.2), "?", "72", {"answer": "72"}, name="my_reward")
    assert "my_reward" in str(caught.value)
    assert said in str(caught.value)


def test_preflight_returns_the_score_and_catches_graders_of_this_process() -> None:
    assert preflight_grader(Exact(), "?", "72", {"answer": "72"}) == Scored(1.0, answer="72")

    class Stuck:
        floor = 0.0

        def grade(self, *_: Any) -> list[Outcome]:
            time.sleep(2)
            return []

    with pytest.raises(HoneError, match=r"Stuck failed on a known answer \(timeout\)"):
        preflight_grader(Stuck(), "?", "72", {}, timeout=0.1)
