"""The rounds loop: what it makes, that a stopped one ends with the same bits, and what it refuses."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import toy
import toy_rounds
from safetensors.torch import load_file
from stopping import stop_at_writes, timeless

from hone.cli.main import call
from hone.core.config import read_toml
from hone.core.errors import HoneError
from hone.training.build import rounds_recipe_from
from hone.training.collecting import in_parts
from hone.training.inner import replaced
from hone.training.rounds.base import Round, RoundsRecipe, train_rounds
from hone.training.run import Run

SUPPORT = Path(toy.__file__).parent


def recipe(base: Path, out: Path, **rounds: Any) -> dict[str, Any]:
    return {
        "model": {"path": str(base)},
        "task": {"name": "toy:Echo"},
        "rounds": {"name": "toy_rounds:Cloning", "rounds": 2, **rounds},
        "run": {"out": str(out)},
    }


def toml(values: dict[str, Any], path: Path) -> str:
    import tomli_w

    path.write_text(tomli_w.dumps(values))
    return str(path)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.tiny_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Rounds that nothing disturbs."""
    return train_rounds(rounds_recipe_from(recipe(base, tmp_path_factory.mktemp("whole") / "run")))


def files(run: Run) -> dict[str, Any]:
    """What a run left, by file: bytes; JSON without seconds; configurations without its own folder's name."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in run.path.rglob("*") if p.is_file()):
        data: Any = path.read_bytes()
        if path.suffix in (".json", ".jsonl") and "second" in data.decode():
            lines = [json.loads(line) for line in data.splitlines()] if path.suffix == ".jsonl" else [json.loads(data)]
            data = timeless(lines)
        elif path.suffix == ".toml":
            data = data.decode().replace(str(run.path), "OUT")
        elif path.name == "optimiser.safetensors":  # the order of its header's entries is left to chance
            data = {name: value.numpy().tobytes() for name, value in load_file(path).items()}
        found[str(path.relative_to(run.path))] = data
    return found


def test_each_round_learns_from_all_so_far_and_starts_from_the_last_model(whole: Run, base: Path) -> None:
    rows = [(whole.path / f"round-{n}" / "collect" / "rows.jsonl").read_text() for n in (1, 2)]
    assert rows[0] != rows[1]
    assert (whole.path / "round-2" / "fit" / "data.jsonl").read_text() == rows[0] + rows[1]
    starts = [read_toml(whole.path / f"round-{n}" / "fit" / "config.toml")["model"]["path"] for n in (1, 2)]
    assert starts == [str(base), str(whole.path / "round-1" / "fit" / "model")]
    weights = [p / "model.safetensors" for p in (whole.model, whole.path / "round-2" / "fit" / "model")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    lines = whole.metrics
    assert [line["step"] for line in lines] == [1, 2]
    counted = [text.count("\n") for text in rows]
    assert [line["collect/answers"] for line in lines] == counted
    assert [line["fit/rows"] for line in lines] == [counted[0], sum(counted)]
    assert lines[1]["seconds_step"] > 0


def test_earlier_data_and_models_can_be_left(base: Path, tmp_path: Path) -> None:
    made = train_rounds(rounds_recipe_from(recipe(base, tmp_path / "run", keep="last", start="first")))
    second = made.path / "round-2"
    assert (second / "fit" / "data.jsonl").read_bytes() == (second / "collect" / "rows.jsonl").read_bytes()
    assert read_toml(second / "fit" / "config.toml")["model"]["path"] == str(base)


def test_the_resolved_recipe_builds_the_same_rounds(whole: Run) -> None:
    written = whole.config
    assert written["fit"]["run"]["steps"] == 6
    assert "out" not in written["fit"]["run"]
    assert "source" not in written["fit"]["data"]
    again = rounds_recipe_from(written)
    assert again.plain() == written
    assert Round(again, 2).seed("fit") != Round(again, 1).seed("fit") != Round(again, 1).seed()


def test_stopped_at_any_write_it_ends_with_the_same_bits(whole: Run, base: Path, tmp_path: Path) -> None:
    """Each process puts one file more in its place than the one before it: the first one, then two and so on."""
    out = tmp_path / "run"
    made = rounds_recipe_from(recipe(base, out))
    assert stop_at_writes(lambda resume: train_rounds(made, resume=resume), out) > 8
    left = files(Run(out))
    assert left == files(whole)


@pytest.mark.parametrize("write", [4, 30], ids=["collecting", "fitting"])
def test_a_full_disk_is_said_and_the_rounds_go_on(
    whole: Run, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    sync, writes = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal writes
        writes += 1
        if writes >= write:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    made = rounds_recipe_from(recipe(base, tmp_path / "run"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(HoneError, match=r"the disk is full.*free some space, then resume"):
            train_rounds(made)
    assert (tmp_path / "run" / "round-1" / "collect" / "rows.jsonl").exists() == (write == 30)
    assert files(train_rounds(made, resume=True)) == files(whole)


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {support!r})
from hone.cli.main import call
sys.exit(call({argv!r}))
"""


def start(argv: list[str]) -> subprocess.Popen[bytes]:
    text = SCRIPT.format(support=str(SUPPORT), argv=argv)
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_killed_in_a_collection_and_interrupted_in_a_fit(whole: Run, base: Path, tmp_path: Path) -> None:
    """Processes of their own, which take most of this test's time."""
    out = tmp_path / "run"
    argv = ["rounds", toml(recipe(base, out), tmp_path / "recipe.toml")]
    for moment, sign in (
        (out / "round-1" / "collect" / "parts" / "000000004.jsonl", signal.SIGKILL),
        (out / "round-2" / "fit" / "metrics.jsonl", signal.SIGINT),
    ):
        process = start([*argv, "--resume"] if out.exists() else argv)
        while process.poll() is None and not moment.exists():
            time.sleep(0.001)
        assert process.poll() is None
        process.send_signal(sign)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (130 if sign == signal.SIGINT else -sign)
        assert sign == signal.SIGKILL or b"goes on" in errors.splitlines()[-1]
    assert not (out / "model").exists()
    assert call([*argv, "--resume"]) == 0
    (out / "report.html").unlink()
    assert files(Run(out)) == files(whole)


def test_parts_are_made_once_and_in_order(tmp_path: Path) -> None:
    made: list[int] = []

    def make(first: int, part: Any) -> list[dict[str, Any]]:
        if first == 4 and not made[2:]:
            made.append(-1)
            raise KeyboardInterrupt
        made.append(first)
        return [{"at": first + i, "item": item} for i, item in enumerate(part) if item != "c"]

    with pytest.raises(KeyboardInterrupt):
        in_parts(tmp_path, "abcdefg", make, size=2, title="letters")
    assert not (tmp_path / "rows.jsonl").exists()
    rows = in_parts(tmp_path, "abcdefg", make, size=2, title="letters")
    assert rows == [{"at": i, "item": item} for i, item in enumerate("abcdefg") if item != "c"]
    assert made == [0, 2, -1, 4, 6]
    assert in_parts(tmp_path, "abcdefg", make, size=2, title="letters") == rows
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]
    assert made == [0, 2, -1, 4, 6]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rounds.name": "rise_and_shine"}, "unknown rounds"),
        ({"rounds.name": "toy:Echo"}, "this is no kind of rounds"),
        ({"rounds.round": 2}, 'unknown key.*"round".*did you mean "rounds"'),
        ({"rounds.rounds": 0}, "must be at least 1"),
        ({"rounds.fit": {}}, r"\[fit\] is a table of its own"),
        ({"fit.run.out": "x"}, r"sets the key itself.*\[fit\] run\.out"),
        ({"fit.model.dtype": "float32"}, r"\[fit\] model\.dtype.*set it in \[model\]"),
        ({"fit.run.setps": 3}, r'\[fit\] run.*"setps".*"steps"'),
        ({"fit.vocabulary": 99}, "no effect"),
        ({"fit": 3}, "a section is a table"),
        ({"online.run.steps": 3}, 'unknown key.*"online"'),
        ({"run.steps": 3}, 'unknown key.*"steps"'),
        ({"task": 3}, r"no \[task\]"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    change: dict[str, Any], said: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hone.core.config import set_key

    values = recipe(base, tmp_path / "run")
    for name, value in change.items():
        set_key(values, name, value)
    with pytest.raises(HoneError, match=said):
        rounds_recipe_from(values)
    assert call(["rounds", toml(values, tmp_path / "recipe.toml")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_folder_is_used_once(whole: Run, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = toml(recipe(base, whole.path), tmp_path / "recipe.toml")
    for more, said in (
        ([], "there is a run in this folder already"),
        (["--resume"], "this run is finished"),
        (["--resume", "--rounds.rounds", "3"], "the recipe has changed.*rounds.rounds"),
        (["--resume", "--run.out", str(tmp_path / "none")], "there is no run to resume"),
    ):
        assert call(["rounds", path, *more]) == 2
        assert re.search(said, capsys.readouterr().err)


def test_help_lists_what_a_user_may_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["rounds", "--help", "--rounds.name", "toy_rounds:Cloning", "--task.name", "toy:Echo"]) == 0
    text = capsys.readouterr().out
    for line in ("--rounds.keep 'all'", "--rounds.answers 32", "--fit.run.steps 6", "--fit.optimiser.lr 0.001"):
        assert line in text
    for owned in ("--fit.model", "--fit.run.out", "--fit.run.seed", "--fit.data.source", "--rounds.fit"):
        assert owned not in text


def test_replaced_reaches_into_dataclasses() -> None:
    made = replaced(toy_rounds.Cloning(), {"fit.run.out": "there", "rounds": 7})
    assert (made.rounds, made.fit.run.out, made.fit.run.steps) == (7, "there", 6)


def test_a_python_call(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe made of objects; relative paths hold in the folder it is called from."""
    from hone.models.config import ModelConfig
    from hone.training.rounds.base import RoundsRun

    monkeypatch.chdir(tmp_path)
    kind = toy_rounds.Cloning(rounds=1, answers=8)
    made = train_rounds(RoundsRecipe(ModelConfig(str(base)), toy.Echo(), kind, RoundsRun("here", seed=5)))
    assert (tmp_path / "here" / "model" / "model.safetensors").is_file()
    assert made.config["run"] == {"out": "here", "seed": 5}
    assert sorted(p.name for p in Path("here/round-1").iterdir()) == ["collect", "fit"]
