"""Files of programming problems as they are, where the program stands in an answer, and the loop around it all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from code_data import APPS, HUMAN_EVAL, LAYOUTS, MBPP, TIGHT, needs_sandbox, nothing_left

from hone.core.config import build_named
from hone.core.errors import HoneError
from hone.core.types import Outcome, Scored
from hone.engines.base import Sampling
from hone.engines.scripted import ScriptedEngine
from hone.envs.code_problems import read_problem
from hone.envs.graders._program import complete, read_program
from hone.envs.graders.code import Code as CodeGrader
from hone.envs.sandbox.judge import Case
from hone.envs.sandbox.suite import UnitTests
from hone.envs.sandbox.syscalls import program_filter
from hone.envs.tasks.code import Code
from hone.envs.tasks.retry import Retry
from hone.evaluate.model import EvalConfig, evaluate_model
from hone.models.chat import Renderer
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer
from hone.rollout.episodes import Start, rollout

DEF = "def f(x):\n    return x"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (DEF, DEF),
        ("    return x\n", "    return x"),
        (f"So:\n```python\n{DEF}\n```\nDone.", DEF),
        (f"```\nprint(1)\n```\nor better\n```py\n{DEF}\n```", DEF),  # the last one counts
        (f"```python\n{DEF}", ""),  # never closed
        (f"```python\nprint(1)\n```\nNo:\n```python\n{DEF}", ""),
        (f"{DEF}\n```", DEF),  # the prompt has opened it
        (f"{DEF}\n```\nThis returns x.", ""),
        (f"~~~python\n{DEF}\n~~~", DEF),
        (f"````markdown\n```python\n{DEF}\n```\n````", f"```python\n{DEF}\n```"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_where_the_program_stands(text: str, program: str) -> None:
    assert read_program(text) == program


def test_an_answer_goes_on_from_the_prompt_or_defines_the_function_itself() -> None:
    begun = "import math\n\ndef f(x):\n    '''Doc.'''\n"
    assert complete("    return x", begun, "f") == begun + "    return x"
    assert complete(DEF, begun, "f") == f"import math\n\ndef f(x):\n    '''Doc.'''\n\n{DEF}"
    assert complete("f = abs", begun, "f").endswith("'''Doc.'''\n\nf = abs")
    assert complete("    def f(y): return y\n    return f(x)", begun, "f").startswith(begun + "    def")
    assert complete(DEF, "", "") == DEF


def test_layouts_are_told_apart_by_their_columns() -> None:
    problems = {name: read_problem({**row, "unused": None}) for name, row in LAYOUTS.items()}
    cases = (Case("2\n", "4\n"), Case("0\n", "0\n"), Case("-3\n", "-6"))
    assert problems["APPS"].tests == problems["plain"].tests == cases
    assert problems["CodeContests"].tests == (Case("2\n", "4\n"), Case("-3\n", "-6\n"))
    assert {name: problem.known for name, problem in problems.items()} == {
        "HumanEval": "    return twice(x)\n",
        "MBPP": MBPP["code"],
        "APPS": "print(2 * int(input()))",
        "APPS, calls": json.loads(str(LAYOUTS["APPS, calls"]["solutions"]))[0],
        "CodeContests": "print(2 * int(input()))",
        "plain": "print(2 * int(input()))",
    }
    tests = problems["MBPP"].tests
    assert isinstance(tests, UnitTests)
    assert tests.setup.splitlines() == ["from math import isclose", "p = Pair(1, 1)", "p.a = 5"]
    assert tests.prepared().message["names"] == ["Pair", "sum"]  # nobody takes the program's isclose
    sanitized = {"prompt": "?", "test_imports": ["import math"], "test_list": ["assert f(1) == math.pi"]}
    tests = read_problem(sanitized).tests
    assert isinstance(tests, UnitTests)
    assert tests.setup.strip() == "import math"


def write(folder: Path, *rows: Any) -> str:
    path = folder / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "?", "answer": "4"}, "got columns: prompt, answer"),
        ({**APPS, "input_output": "{"}, "got JSONDecodeError"),
        ({**APPS, "input_output": '{"inputs": [], "outputs": []}'}, "there are no test cases"),
        ({**APPS, "input_output": '{"inputs": ["1"], "outputs": []}'}, "shorter"),
        ({**MBPP, "test_list": []}, "test_list is empty"),
        ({**MBPP, "text": " "}, "asks nothing"),
    ],
)
def test_records_that_are_no_problems_are_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(HoneError) as caught:
        Code(write(tmp_path, HUMAN_EVAL, row), test_fraction=0).size("train")
    assert "problems.jsonl, record 2" in str(caught.value)
    assert said in str(caught.value)


def test_prompts(tmp_path: Path) -> None:
    path = write(tmp_path, *LAYOUTS.values())
    texts = {q.text for q in Code(path, test_fraction=0).questions("train")}
    assert HUMAN_EVAL["prompt"] in texts
    assert "Write a function to double the first of a pair.\nFor example: assert sum(Pair(2, 3)) == 4\n" in texts
    asked = Code(path, test_fraction=0, template="# {prompt} {task_id}", limit=1).questions("train")[0]
    assert asked.text == f"# {HUMAN_EVAL['prompt']} HumanEval/1000"
    assert asked.row["prompt"] == HUMAN_EVAL["prompt"]  # what graders complete is not what the template made


@needs_sandbox
def test_the_known_solution_of_every_layout_passes_its_own_tests(tmp_path: Path) -> None:
    with nothing_left():
        task = Code(write(tmp_path, *LAYOUTS.values()), test_fraction=0, graders=(CodeGrader(limits=TIGHT),))
        task.preflight()
        questions = task.questions("train")
        envs = [task.env("train") for _ in questions]
        for number, env in enumerate(envs):
            env.reset(options={"episode": number})
        steps = task.step_many(envs, [f"```python\n{q.known}\n```" for q in questions])
        assert [step.outcome for step in steps] == [Scored(1.0, answer=q.known.rstrip()) for q in questions]


@needs_sandbox
def test_a_known_solution_that_fails_is_refused_before_training(tmp_path: Path) -> None:
    task = Code(write(tmp_path, {**HUMAN_EVAL, "canonical_solution": "    return x\n"}), test_fraction=0)
    with pytest.raises(HoneError, match=r"own solution of the first problem.*double\(2\) returned 2"):
        task.preflight()


def test_it_is_found_by_its_name_and_its_options_are_checked() -> None:
    task = build_named(
        {"name": "code", "path": "x.jsonl", "graders": [{"name": "code", "limits": {"wall": 3.0}, "partial": True}]},
        "hone.envs.tasks",
        "task",
    )
    assert isinstance(task, Code)
    assert isinstance(task.grader, CodeGrader)
    assert (task.grader.limits.wall, task.grader.limits.cpu, task.grader.partial) == (3.0, 4, True)
    for options in ({"limits": {"memory": 0}}, {"limits": {"memory": 10}}, {"floor": 1.0}, {"longest_feedback": 0}):
        with pytest.raises(HoneError):
            build_named({"name": "code", **options}, "hone.envs.graders", "grader")


ATTEMPTS = ["    return x\n", "    return x + x\n", "    while True: pass\n", "    return (\n"]


@needs_sandbox
def test_in_the_loop_programs_are_scored_and_the_failing_test_is_said(tmp_path: Path) -> None:
    task = Code(write(tmp_path, HUMAN_EVAL, MBPP), test_fraction=0, graders=(CodeGrader(limits=TIGHT),), limit=1)
    tokenizer = char_tokenizer([HUMAN_EVAL["prompt"] + "".join(ATTEMPTS)])
    policy = create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=256), tokenizer, seed=0)
    encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    asked: list[Any] = []

    def script(request: Any) -> str:
        asked.append(request)
        return ATTEMPTS[(len(asked) - 1) % 4]

    engine = ScriptedEngine(script, encode=encode, end_id=tokenizer.eos_token_id)
    with nothing_left():
        starts = [Start(0, 0, sample) for sample in range(4)]
        found = rollout(engine, task, Renderer(tokenizer), starts, Sampling(max_tokens=64), noise=(0, 1))
        outcomes: list[Outcome] = [trajectory.turns[0].outcome for trajectory in found]
        assert [o.value for o in outcomes if isinstance(o, Scored)] == [0.0, 1.0, 0.0, 0.0]
        said = [o.feedback for o in outcomes if isinstance(o, Scored)]
        assert said[0] == "Test 1 of 3 failed: double(2) returned 2"
        assert said[1] == ""
        assert "double(2)" in said[2]
        assert said[3] == "The program raised SyntaxError: '(' was never closed (in: return ()"
        sampling, config = Sampling(max_tokens=64), EvalConfig(split="train", samples=4, greedy=False)
        evaluation, _ = evaluate_model(policy, task, sampling, config, engine=engine)
        assert evaluation.plain()["accuracy"]["value"] == 0.25
        assert evaluation.failures == 0


@needs_sandbox
def test_the_failing_test_is_what_the_next_attempt_sees(tmp_path: Path) -> None:
    """A policy that mends what it is told: what comes back, then what cannot be read, then the right program."""
    code = Code(write(tmp_path, HUMAN_EVAL), test_fraction=0, graders=(CodeGrader(limits=TIGHT),))
    task = Retry(code, turns=4, feedback="{feedback}\nAgain.\n", stop_when_correct=True)
    task.preflight()
    tokenizer = char_tokenizer([chr(c) for c in range(32, 127)] + ["\n"])
    encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    seen: list[str] = []

    def script(request: Any) -> str:
        seen.append(tokenizer.decode(list(request.prompt), skip_special_tokens=True))
        if "double(2) returned 2" not in seen[-1]:
            return "    return x\n"
        return "    return (\n" if "never closed" not in seen[-1] else "    return x + x\n"

    engine = ScriptedEngine(script, encode=encode, end_id=tokenizer.eos_token_id)
    with nothing_left():
        (found,) = rollout(engine, task, Renderer(tokenizer), [Start(0, 0, 0)], Sampling(max_tokens=64), noise=(0, 1))
    said = [
        "    return x\n\nTest 1 of 3 failed: double(2) returned 2\nAgain.\n",
        "    return (\n\nThe program raised SyntaxError: '(' was never closed (in: return ()\nAgain.\n",
    ]
    question = HUMAN_EVAL["prompt"]
    assert seen == [question, question + said[0], question + said[0] + said[1]]
    assert [turn.outcome.value for turn in found.turns if isinstance(turn.outcome, Scored)] == [0.0, 0.0, 1.0]
    assert (found.terminated, found.metrics) == (True, {"first": 0.0, "last": 1.0, "attempts": 3.0})


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_of_system_calls(machine: str) -> None:
    """Run by an interpreter of its own, since only one of the two machines is here."""
    import struct

    code = list(struct.iter_unpack("=HBBI", program_filter(machine)))
    audit = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]

    def verdict(number: int, argument: int = 0, architecture: int = audit) -> int:
        data = struct.pack("<IIQQ", number, architecture, 0, argument)
        at = value = 0
        while True:
            operation, yes, no, operand = code[at]
            at += 1
            if operation == 0x06:
                return int(operand)
            if operation == 0x20:
                (value,) = struct.unpack_from("<I", data, operand)
                continue
            holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[operation]
            at += yes if holds else no

    allowed, refused, absent, killed = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
    # read, clone, clone3, socket, ptrace and memfd_create of the two tables
    read, clone, clone3, socket, ptrace, memfd = {
        "x86_64": (0, 56, 435, 41, 101, 319),
        "aarch64": (63, 220, 435, 198, 117, 279),
    }[machine]
    thread = 0x003D0F00
    assert verdict(read) == allowed
    assert (verdict(clone, thread), verdict(clone, 0x01200011), verdict(clone3, thread)) == (allowed, refused, absent)
    assert {verdict(socket), verdict(ptrace), verdict(memfd)} == {refused}
    assert verdict(read, architecture=0x40000003) == killed
    assert verdict(read + 0x40000000) == refused
    with pytest.raises(HoneError, match="mips"):
        program_filter("mips")
