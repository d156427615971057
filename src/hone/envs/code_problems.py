"""Programming problems as data sets write them down, read into one form.

Known layouts, told apart by their columns:

- HumanEval: ``prompt`` (the beginning of a function), ``entry_point``, ``test`` (``def check(candidate)``),
  ``canonical_solution``;
- MBPP: ``text`` (``prompt`` in the sanitised version), ``test_list``, ``test_setup_code`` or
  ``test_imports``, ``code``;
- APPS: ``question``, ``input_output`` (JSON: ``inputs``, ``outputs``, ``fn_name`` where functions are
  called), ``solutions`` (JSON);
- CodeContests: ``description``, ``public_tests``, ``private_tests``, ``generated_tests`` (each ``input`` and
  ``output``), ``solutions``;
- plain: ``prompt``, ``inputs`` and ``outputs`` (lists of texts), ``solution``.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hone.core.errors import HoneError
from hone.envs.sandbox.judge import Case
from hone.envs.sandbox.suite import UnitTests

_PYTHON_3 = 3
"""CodeContests' number of the language."""


@dataclass(frozen=True)
class CodeProblem:
    """A programming problem.

    Attributes:
        prompt: what is asked, as the data set says it.
        tests: tests of functions, or runs with input and expected output.
        begun: the beginning of the program that stands in the prompt (HumanEval); an answer may go on from it.
        entry: the function asked for, where the data set names it.
        known: a program known to be right; "" if there is none.
        example: one test that may be shown; MBPP's texts do not name the function.
    """

    prompt: str
    tests: UnitTests | tuple[Case, ...]
    begun: str = ""
    entry: str = ""
    known: str = ""
    example: str = ""


def read_problem(record: Mapping[str, Any]) -> CodeProblem:
    """The problem in a record.

    Raises:
        HoneError: its columns are none of the known layouts, or hold something else.
    """
    row = {name: value for name, value in record.items() if value is not None}
    try:
        for wanted, read in _LAYOUTS:
            if wanted <= row.keys():
                return read(row)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise HoneError("a programming problem cannot be read", got=f"{type(error).__name__}: {error}"[:200]) from error
    known = "; ".join(", ".join(sorted(wanted)) for wanted, _ in _LAYOUTS)
    raise HoneError("no known layout of programming problems", got=f"columns: {', '.join(row)}", expected=known)


def _human_eval(row: Mapping[str, Any]) -> CodeProblem:
    begun, entry = str(row.get("prompt", "")), str(row["entry_point"])
    # The tests may call helper functions that the prompt defines. They are run beside the tests, from here.
    helpers = f"{begun}\n" if _is_python(begun) else ""
    tests = UnitTests(f"{helpers}\n{row['test']}", check="check", entry=entry)
    return CodeProblem(begun, tests, begun, entry, str(row.get("canonical_solution", "")))


def _mbpp(row: Mapping[str, Any]) -> CodeProblem:
    known = str(row.get("code", ""))
    imports, defines = _top_level(known)
    # What the known solution imports the tests may use; a program's own version of it they may not.
    setup = "\n".join([*imports, *row.get("test_imports", ()), str(row.get("test_setup_code", ""))])
    sources = tuple(str(source) for source in row["test_list"])
    if not sources:
        raise ValueError("test_list is empty")
    prompt = str(row["text"] if "text" in row else row.get("prompt", ""))
    return CodeProblem(prompt, UnitTests(setup, sources, defines=defines), known=known, example=sources[0])


def _apps(row: Mapping[str, Any]) -> CodeProblem:
    pairs = _loaded(row["input_output"])
    solutions = _loaded(row.get("solutions") or "[]")
    known = str(solutions[0]) if solutions else ""
    prompt, name = str(row.get("question", row.get("prompt", ""))), pairs.get("fn_name")
    if name is None:
        return CodeProblem(prompt, _cases(pairs["inputs"], pairs["outputs"]), known=known)
    sources = []
    for given, expected in zip(pairs["inputs"], pairs["outputs"], strict=True):
        # Its results stand in a list of one here and there, and JSON knows no tuples.
        wanted = [expected, *(expected[:1] if isinstance(expected, list) else [])]
        call = f"{name}({', '.join(map(repr, given))})"
        sources.append(f"assert (lambda r: list(r) if isinstance(r, tuple) else r)({call}) in {wanted!r}")
    return CodeProblem(prompt, UnitTests("", tuple(sources), defines=(name,)), entry=name, known=known)


def _code_contests(row: Mapping[str, Any]) -> CodeProblem:
    groups = [row[name] for name in ("public_tests", "private_tests", "generated_tests") if row.get(name)]
    inputs = [text for group in groups for text in group["input"]]
    outputs = [text for group in groups for text in group["output"]]
    solutions = row.get("solutions") or {"language": [], "solution": []}
    pairs = zip(solutions["language"], solutions["solution"], strict=True)
    known = next((text for language, text in pairs if language in (_PYTHON_3, "PYTHON3")), "")
    return CodeProblem(str(row.get("description", row.get("prompt", ""))), _cases(inputs, outputs), known=known)


def _plain(row: Mapping[str, Any]) -> CodeProblem:
    known = str(row.get("solution", row.get("code", "")))
    return CodeProblem(
        str(row.get("prompt", row.get("question", ""))), _cases(row["inputs"], row["outputs"]), known=known
    )


_LAYOUTS = (
    (frozenset({"entry_point", "test"}), _human_eval),
    (frozenset({"test_list"}), _mbpp),
    (frozenset({"input_output"}), _apps),
    (frozenset({"public_tests"}), _code_contests),
    (frozenset({"inputs", "outputs"}), _plain),
)


def _cases(inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[Case, ...]:
    if not inputs:
        raise ValueError("there are no test cases")
    return tuple(Case(_text(a), _text(b)) for a, b in zip(inputs, outputs, strict=True))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "\n".join(map(str, value))


def _loaded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _top_level(source: str) -> tuple[list[str], tuple[str, ...]]:
    """The imports of a program, and the functions and classes it defines."""
    if not _is_python(source):
        return [], ()
    body = ast.parse(source).body
    imports = [ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    return imports, tuple(node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef))


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True
