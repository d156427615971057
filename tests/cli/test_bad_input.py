"""Every fault of the user's: one clear line, exit code 2, and not a byte written or lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from desk import Hone

REWARDS = """
import time

def raises(prompts, completions, **columns):
    raise ZeroDivisionError("no reward today")

def is_nan(prompts, completions, **columns):
    return [float("nan") for _ in completions]

def hangs(prompts, completions, **columns):
    time.sleep(1000)
"""


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, Python's own caches left out."""
    found = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


Refused = Callable[..., None]


@pytest.fixture
def refused(hone: Hone, desk: Path) -> Refused:
    def check(line: str, *pieces: str) -> None:
        """The command is refused by one line that holds these pieces, in this order; nothing changes on disk."""
        before = files(desk)
        code, out, err = hone(*line.split())
        assert (code, out) == (2, ""), (code, out, err)
        assert err.startswith("hone: ")
        assert err.count("\n") == 1
        at = 0
        for piece in pieces:
            assert piece in err[at:], (piece, err)
            at = err.index(piece, at) + len(piece)
        assert files(desk) == before

    return check


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("trian", ["unknown command", '"trian"', 'did you mean "train"?']),
        ("train", ["one recipe", "hone train --help"]),
        ("train recipe.toml other.toml", ["one recipe", "recipe.toml other.toml"]),
        ("train nothing.toml", ["recipe cannot be read", "nothing.toml", "No such file"]),
        ("train questions.jsonl", ["not valid TOML", "questions.jsonl", "line 1"]),
        ("train recipe.toml --run.steps", ["a flag has no value", "--run.steps"]),
        ("train recipe.toml --run 7", ["run", "got 7", "expected a dictionary"]),
        ("train recipe.toml --batch.sample 4", ["unknown key", "batch", '"sample"', 'did you mean "samples"?']),
        ("train recipe.toml --btach.samples 4", ["unknown key", '"btach"', 'did you mean "batch"?']),
        ("train recipe.toml --task.promt q", ["unknown key", "[task]", '"promt"', 'did you mean "prompt"?']),
        ("train recipe.toml --algorithm.name grop", ["unknown algorithm", '"grop"', 'did you mean "grpo"?']),
        ("train recipe.toml --algorithm.name os.path:join", ["this is no algorithm", '"os.path:join"']),
        ("train recipe.toml --algorithm.kl k9", ["[algorithm] kl", "'k9'", "'k1', 'k2' or 'k3'"]),
        ("train recipe.toml --algorithm.kl k1", ["kl and kl_in have no effect while beta is 0"]),
        ("train recipe.toml --task.name additoin", ["unknown task", 'did you mean "addition"?']),
        ("train recipe.toml --batch.samples -2", ["batch.samples is -2", "at least 1"]),
        ("train recipe.toml --batch.samples 1", ["GRPO compares", "batch.samples", "got 1", "at least 2"]),
        ("train recipe.toml --batch.samples many", ["batch.samples", "'many'", "integer"]),
        ("train recipe.toml --sampling.top-p 0.9", ["sampler's distribution", "[sampling]", "allow_truncated"]),
        ("train recipe.toml --model.path ./none", ["no such model directory", "none"]),
        ("train recipe.toml --model.device tpu", ["no such device", '"tpu"']),
        ("train recipe.toml --task.path none.jsonl", ["none.jsonl", "No such file"]),
        ("train recipe.toml --task.answer gold", ['no column "gold"', "questions.jsonl, record 1", "prompt, answer"]),
        ("train recipe.toml --task.graders ['exakt']", ["exakt", 'did you mean "exact"?']),
        ("train recipe.toml --run.out questions.jsonl/run", ["cannot write", "questions.jsonl/run"]),
        ("train recipe.toml --resume", ["no run to resume", "run", "config.toml"]),
        ("profile", ["hone profile takes one recipe", "hone profile --help"]),
        ("profile nothing.toml", ["recipe cannot be read", "nothing.toml"]),
        ("profile recipe.toml --steps 0", ["the number of steps", "--steps", "got 0", "at least 1"]),
        ("profile recipe.toml --steps few", ["--steps", "got few"]),
        ("profile recipe.toml --out recipe.toml", ["cannot write", "recipe.toml"]),
        ("profile recipe.toml --btach.samples 4", ["unknown key", '"btach"', 'did you mean "batch"?']),
        ("profile recipe.toml --batch.samples 1", ["GRPO compares", "batch.samples"]),
        ("profile recipe.toml --model.path ./none", ["no such model directory", "none"]),
        ("pretrain", ["no [data]", "data.source"]),
        ("pretrain --data.source questions.jsonl --model.path base", ["from scratch", "hone sft"]),
        ("pretrain --data.source none.txt", ["text file cannot be read", "none.txt", "No such file"]),
        ("pretrain --data.task addition", ["generates no corpus", "data.task"]),
        ("pretrain --data.source questions.jsonl --tiny.width 30", ["width 30", "heads 4"]),
        ("pretrain --data.source questions.jsonl --tiny.architecture lama", ['did you mean "llama"?']),
        ("pretrain --data.source questions.jsonl --vocabulary 300", ["vocabulary has no effect"]),
        ("pretrain --data.source questions.jsonl --run.failure-cap 0.5", ["run.failure_cap has no effect"]),
        ("sft --data.source questions.jsonl", ["no model to fine-tune", "--model.path DIR"]),
        ("sft --data.source questions.jsonl --model.path base --tiny.width 64", ["tiny", "no effect on [model]"]),
        ("sft --data.source questions.jsonl --model.path base --data.columns.completion a", ['no column "a"']),
        ("train recipe.toml --model.path nowhere", ["no such model directory", "nowhere", "(owner/name)"]),
        ("eval", ["one model"]),
        ("eval base", ["no task", "--task NAME"]),
        ("eval base --task adition", ["adition", "addition"]),
        ("eval base --task.name questions --task.path questions.jsonl --eval.samples 0", ["at least 1"]),
        ("eval base --task.name questions --task.path questions.jsonl --eval.split tset", ["tset"]),
        ("eval ./none --task.name questions --task.path questions.jsonl", ["no such model directory", "none"]),
        ("chat", ["one model"]),
        ("chat ./none", ["no such model directory", "none"]),
        ("chat base --temprature 1", ["unknown key", "temprature", 'did you mean "temperature"?']),
        ("chat base --seed x", ["seed is not a whole number", "'x'"]),
        ("report", ["one run directory", "hone report runs/NAME"]),
        ("report nothing", ["no such run", "nothing"]),
        ("report base", ["this is not a run", "base", "config.toml or metrics.jsonl"]),
        ("doctor now", ["takes no arguments", "now"]),
    ],
)
def test_one_line_says_it(refused: Refused, line: str, pieces: list[str]) -> None:
    refused(line, *pieces)


def test_model_without_tokenizer(refused: Refused, desk: Path) -> None:
    shutil.copytree(desk / "base", desk / "mute")
    for file in desk.glob("mute/tokenizer*"):
        file.unlink()
    refused("train recipe.toml --model.path mute", "tokenizer", "mute")


def test_data_without_anything_to_learn_from(refused: Refused, desk: Path) -> None:
    (desk / "odd.jsonl").write_text(json.dumps({"question": "a=", "reply": "a"}) + "\n")
    refused("sft --model.path base --data.source odd.jsonl", "no column to learn from", "question, reply", "columns")


def test_rows_that_are_all_too_long(hone: Hone, desk: Path) -> None:
    before = files(desk)
    code, _, err = hone(*["sft", "--data.source", "questions.jsonl", "--model.path", "base", "--data.max-length", "1"])
    said, refused = err.splitlines()
    assert code == 2
    assert "32 records are longer than 1 tokens" in said
    assert "no row is left to train on; got 32 records; do: raise data.max_length" in refused
    assert files(desk) == before


def test_a_malformed_line_is_named(refused: Refused, desk: Path) -> None:
    with (desk / "questions.jsonl").open("a") as file:
        file.write('{"prompt": "a=", "answer": \n')
    number = len((desk / "questions.jsonl").read_text().splitlines())
    for command in ("train recipe.toml", "sft --model.path base --data.source questions.jsonl"):
        refused(command, "malformed JSON", f"questions.jsonl:{number}")


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        ("raises", ["failed on a known answer (exception)", "ZeroDivisionError: no reward today"]),
        ("is_nan", ["failed on a known answer (not_finite)", "nan"]),
        ("hangs", ["failed on a known answer (timeout)", "did not return within 0.3 s"]),
        ("absent", ["failed on a known answer", "absent"]),
    ],
)
def test_a_reward_that_fails_at_preflight(refused: Refused, desk: Path, name: str, pieces: list[str]) -> None:
    (desk / "rewards.py").write_text(REWARDS)
    with (desk / "recipe.toml").open("a") as file:
        file.write(f'[[task.graders]]\nname = "rewards:{name}"\ntimeout = 0.3\n')
    refused("train recipe.toml", *pieces)


def test_prompts_that_fill_the_context_are_refused_before_anything_is_written(refused: Refused, desk: Path) -> None:
    rows = [{"prompt": "ab" * 40 + f"{i}=", "answer": "a"} for i in range(9)]
    (desk / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    refused("train recipe.toml --task.path long.jsonl", "every rollout", "82 tokens, the context only 64")


def test_a_run_is_never_overwritten_nor_resumed_with_another_recipe(refused: Refused, hone: Hone) -> None:
    for command in ("train recipe.toml", "pretrain --data.source questions.jsonl --run.steps 1 --tiny.width 16"):
        name, changed = ("run", "run.steps") if command.startswith("train") else ("runs/base", "tiny.width")
        assert hone(*command.split())[0] == 0
        refused(command, "a run in this folder already", name, "--resume")
        refused(f"{command} --resume", "finished", name)
        refused(f"{command} --resume --{changed} 32", "recipe has changed", changed, "got 32")
