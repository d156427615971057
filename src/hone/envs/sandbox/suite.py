"""The tests of one problem, prepared outside: parsed, their assertions told apart, the names they ask for found."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True)
class UnitTests:
    """Tests in Python, as data sets hold them.

    Attributes:
        setup: source run before them: imports, helper functions, or the function ``check``.
        sources: one source per test; empty if there is ``check``.
        check: name of a function in ``setup`` whose one argument is the program's function and whose
            assertions are the tests (HumanEval).
        entry: the program's function, where there is ``check``.
        defines: what a program defines although Python has something of that name, such as ``sum``. Other
            names that the tests use and neither their setup nor Python defines are the program's anyway.
    """

    setup: str
    sources: tuple[str, ...] = ()
    check: str = ""
    entry: str = ""
    defines: tuple[str, ...] = ()

    def prepared(self) -> Prepared:
        """What the sandbox is sent.

        Raises:
            SyntaxError: the tests are not Python.
        """
        return _prepare(self)


@dataclass(frozen=True)
class Prepared:
    """See :meth:`UnitTests.prepared`.

    Attributes:
        message: what :mod:`hone.envs.sandbox.inside.tests` reads.
        texts: each test as written.
    """

    message: dict[str, Any]
    texts: tuple[str, ...]


@lru_cache(maxsize=1024)
def _prepare(tests: UnitTests) -> Prepared:
    setup, texts = tests.setup, tests.sources
    if tests.check:
        tree = ast.parse(tests.setup)
        assertions = _Assertions(tests.setup)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == tests.check:
                assertions.visit(node)
        setup, texts = ast.unparse(ast.fix_missing_locations(tree)), tuple(assertions.texts)
    else:
        compile(setup, "setup", "exec")
    message = {
        "setup": setup,
        "sources": list(tests.sources),
        "check": tests.check,
        "entry": tests.entry,
        "names": [] if tests.check else sorted(_asked(tests)),
        "random": "random" in tests.setup or any("random" in source for source in tests.sources),
    }
    return Prepared(message, texts)


def _asked(tests: UnitTests) -> set[str]:
    """What the program must define, unless the setup does."""
    free = _free((tests.setup, *tests.sources))
    return {name for name in free if name in tests.defines or not hasattr(builtins, name)}


def _free(sources: tuple[str, ...]) -> set[str]:
    """Names that are used and not bound."""
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound |= {
        (alias.asname or alias.name).partition(".")[0]
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    return {node.id for node in nodes if isinstance(node, ast.Name)} - bound


class _Assertions(ast.NodeTransformer):
    """Makes each assertion of a function a test of its own: ``try: assert … except: __failed__(…)``."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.texts: list[str] = []

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Wrap one assertion."""
        number = len(self.texts)
        self.texts.append(ast.get_source_segment(self._source, node) or ast.unparse(node))
        (wrapped,) = ast.parse(
            f"try:\n    pass\nexcept Exception as __error__:\n    __failed__({number}, __error__)\n"
            f"else:\n    __passed__({number})"
        ).body
        assert isinstance(wrapped, ast.Try)
        wrapped.body = [node]
        return wrapped
