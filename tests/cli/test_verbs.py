"""The command line as a newcomer meets it: help, every verb in turn, twice, from scratch to a report."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from desk import Hone

from hone.cli.main import verbs
from hone.training.run import Run

TINY = "--tiny.width 16 --tiny.layers 1 --tiny.heads 2"


def start(*argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "hone", *argv], stdout=-1, stderr=-1, text=True)


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        finished = subprocess.run([sys.executable, "-m", "hone", "--help"], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - began)
    assert all(re.search(rf"^  {verb} ", finished.stdout, re.MULTILINE) for verb in verbs())
    assert statistics.median(seconds) < 0.3
    light = "import sys, hone.cli.main as m; m._help(); print({'torch', 'transformers', 'numpy'} & {*sys.modules})"
    shown = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize(
    "verb", ["quickstart", "pretrain", "sft", "train", "profile", "eval", "chat", "report", "doctor"]
)
def test_every_verb_explains_itself(hone: Hone, verb: str, flag: str) -> None:
    code, out, err = hone(verb, flag)
    assert (code, err) == (0, "")
    assert f"usage: hone {verb}" in out


def test_help_names_the_defaults_of_the_recipe(hone: Hone) -> None:
    out = hone("pretrain", "--help")[1]
    assert "--optimiser.lr 0.002" in out
    assert "--run.steps 1000" in out
    assert "--model." not in out
    assert "--run.failure_cap" not in out
    assert "--data.task.digits 3" in hone("pretrain", "--data.task.name", "addition", "--help")[1]
    assert "--tiny." not in hone("sft", "--help")[1]
    assert "--algorithm.clip_high 0.2" in hone("train", "--help")[1]
    assert "--task.digits 3" in hone("train", "--task.name", "addition", "--help")[1]


def test_from_a_text_file_to_an_answer(hone: Hone, desk: Path) -> None:
    (desk / "corpus.txt").write_text("abcd=" * 200)
    assert hone(*f"pretrain --data.source corpus.txt --run.steps 2 --rows 4 {TINY}".split())[0] == 0
    sft = "sft --model.path runs/base/model --data.source questions.jsonl --run.steps 2 --run.out tuned --rows 4"
    assert hone(*sft.split())[0] == 0
    code, out, err = hone(*["train", "recipe.toml", "--model.path", "tuned/model"])
    assert (code, out) == (0, "model: run/model   report: run/report.html\n")
    assert "2 prompts × 2 samples = 4 rollouts a step" in err
    questions = "--task.name questions --task.path questions.jsonl --task.test-fraction 0.5"
    assert hone(*f"eval run/model {questions} --eval.samples 2 --sampling.max-tokens 2".split())[0] == 0
    found = json.loads((desk / "runs/eval.json").read_text())
    assert found["model"] == "run/model"
    assert found["samples"] == 2 * found["questions"]
    assert "run/report.html" in hone("report", "run")[1]
    assert hone("doctor")[1].count("\n") > 10


def test_chat_answers_each_line_and_survives_a_full_context(hone: Hone, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["a=", "ab" * 40, "b=", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    code, out, err = hone("chat", "base", "--max-tokens", "2")
    assert code == 0
    assert out.count("\n") == 2
    assert "the prompt leaves no room" in err
    assert "2 answers from base" in err


def test_profile_leaves_the_run_alone_and_writes_its_own_folder(hone: Hone, desk: Path) -> None:
    code, out, err = hone(*["profile", "recipe.toml", "--steps", "2", "--out", "mine", "--run.save-every", "3"])
    assert code == 0, err
    assert not (desk / "run").exists()
    assert sorted(p.name for p in (desk / "mine").iterdir()) == [
        "most-memory.png",
        "profile.html",
        "profile.json",
        "time-of-a-step.png",
    ]
    found = json.loads((desk / "mine/profile.json").read_text())
    assert (found["steps"], found["requests"]) == (2, 4)
    assert sum(phase["seconds"] for phase in found["phases"].values()) == pytest.approx(found["seconds"])
    page = (desk / "mine/profile.html").read_text()
    for text in ("Where a step goes", "backward", "tokens sampled per second", "milliseconds"):
        assert text in page
    lines = out.splitlines()
    assert lines[0].startswith("A step takes ")
    assert lines[-1] == "page: mine/profile.html"
    assert hone(*["profile", "recipe.toml", "--steps", "1", "--out", "mine"])[0] == 0


def test_modules_of_the_current_folder_are_found(hone: Hone, desk: Path) -> None:
    (desk / "mine_to_import.py").write_text("from hone.algorithms.grpo import GRPO as Own\n")
    assert hone(*["train", "recipe.toml", "--algorithm.name", "mine_to_import:Own", "--run.out", "own"])[0] == 0
    assert Run(desk / "own").config["algorithm"]["name"] == "grpo"


def test_interrupt_stops_without_a_traceback_and_resume_goes_on(desk: Path, hone: Hone) -> None:
    train = ["train", "recipe.toml", "--run.steps", "4000", "--run.save-every", "5"]
    process = start(*train)
    while process.poll() is None and len(Run(desk / "run").metrics) < 12:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "hone: stopped; a training run goes on from its last checkpoint with --resume"
    assert "Traceback" not in err
    ((step, _),) = Run(desk / "run").checkpoints()
    assert step >= 10
    config = desk / "run" / "config.toml"
    config.write_text(config.read_text().replace("steps = 4000", f"steps = {step + 3}"))
    assert hone(*f"train recipe.toml --run.steps {step + 3} --run.save-every 5 --resume".split())[0] == 0
    assert [row["step"] for row in Run(desk / "run").metrics] == list(range(1, step + 4))
