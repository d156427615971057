"""A folder to type commands in, as a newcomer has one: a model, a data set, a recipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import toy

from hone.cli.main import call

RECIPE = """
[model]
path = "base"

[task]
name = "questions"
path = "questions.jsonl"

[algorithm]
name = "grpo"

[sampling]
max_tokens = 3

[batch]
prompts = 2
samples = 2

[run]
out = "run"
steps = 2
"""

Hone = Callable[..., tuple[int, str, str]]
"""A command line in, (exit code, standard output, standard error) out."""


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.tiny_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture
def desk(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: base/, questions.jsonl, recipe.toml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").symlink_to(base)
    rows = [{"prompt": f"{a}{b}=", "answer": a, "completion": a} for a in toy.LETTERS for b in toy.LETTERS * 2]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def hone(desk: Path, capfd: pytest.CaptureFixture[str]) -> Hone:
    def type_(*argv: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = call(list(argv))
        out, err = capfd.readouterr()
        return code, out, err

    return type_
