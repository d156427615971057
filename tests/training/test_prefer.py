"""DPO and KTO through the fit stage: rows, reference columns, learning, resume, what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from stopping import interrupted_after, timeless
from toy import tiny_model

from hone import DPO, GRPO, KTO, PPO, load
from hone.algorithms.nll import NLL
from hone.cli.main import call
from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Rating
from hone.data.preferences import encode_answers, encode_thumbs
from hone.data.rows import pad_examples
from hone.models.chat import Renderer
from hone.models.config import ModelConfig
from hone.models.policy import Policy
from hone.training.feedback import FeedbackConfig
from hone.training.fitting import FitLoop
from hone.training.preferences import PreferRecipe, prefer
from hone.training.recipe import OptimiserConfig, RunConfig
from hone.training.run import Run

LETTERS = "abcd"


def pairs(folder: Path) -> str:
    """After a letter people want the same letter, not the next one."""
    rows = []
    for i, letter in enumerate(LETTERS * 6):
        other = LETTERS[(i + 1 + i // 4 % 3) % 4]
        rows.append({"prompt": f"{letter}{'#' * (i // 4)}=", "chosen": letter, "rejected": other + "#"})
    return written(folder / "pairs.jsonl", rows)


def thumbs(folder: Path) -> str:
    rows = []
    for i, letter in enumerate(LETTERS * 8):
        good = i % 8 < 4
        answer = letter if good else LETTERS[(i + 1) % 4]
        rows.append({"prompt": f"{letter}{'#' * (i // 8)}=", "completion": answer, "label": good})
    return written(folder / "thumbs.jsonl", rows)


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def recipe(folder: Path, algorithm: Any, source: str, out: str = "run", **run: Any) -> PreferRecipe:
    model = folder / "base"
    if not model.exists():
        tiny_model(model)
    return PreferRecipe(
        FeedbackConfig(source, validation=0.2),
        ModelConfig(str(model)),
        algorithm,
        rows=8,
        micro_tokens=40,
        optimiser=OptimiserConfig(lr=3e-3),
        run=RunConfig(out=str(folder / out), **{"steps": 30, "save_every": 10, **run}),
    )


def test_rows_of_answers_and_of_thumbs(tmp_path: Path) -> None:
    renderer = Renderer(load(str(tiny_model(tmp_path / "m"))).tokenizer)
    a, b, end = (renderer.answer(text) for text in ("a", "b", ""))
    context = renderer.opening("c=")
    first = Comparison("c=", Answer("a"), Answer("b"), margin=3.0)
    labels = [first, Comparison("c=", Answer("a"), Answer("bb"), tie=True)]
    examples, left_out = encode_answers(renderer, labels, len(context) + len(b))
    assert left_out == 1  # the second one's rejected answer is too long; a pair is left out whole
    assert [row.tokens for row in examples[0]] == [(*context, *a), (*context, *b)]
    assert examples[0][0].train == (*[False] * len(context), True, True)
    assert [row.reward for row in examples[0]] == [3.0, 0.0]
    assert a[-1:] == end

    ratings = [
        Rating("c=", Answer("a"), thumb=True),
        Rating("c=", Answer("b"), thumb=False),
        Rating("d=", Answer("d"), thumb=True),
    ]
    found, _ = encode_thumbs(renderer, ratings, 64)
    d, other = renderer.answer("d"), renderer.opening("d=")
    # the next rating with another prompt gives the mismatched answer; behind the last one stands the first
    assert [[row.tokens for row in rows] for rows in found] == [
        [(*context, *a), (*context, *d)],
        [(*context, *b), (*context, *d)],
        [(*other, *d), (*other, *a)],
    ]
    assert [rows[0].reward for rows in found] == [1.0, 0.0, 1.0]
    assert all(math.isnan(rows[1].reward) for rows in found)
    assert [len(rows) for rows in encode_thumbs(renderer, ratings[:2], 64)[0]] == [1, 1]


def chance(policy: Policy, prompt: str, answer: str) -> float:
    labels = [Comparison(prompt, Answer(answer), Answer("#"))]
    examples, _ = encode_answers(Renderer(policy.tokenizer), labels, 64)
    batch = pad_examples(examples, policy.pad_id)
    with torch.no_grad():
        return math.exp(float((policy.score(batch).logprob * batch.train)[0].sum()))


@pytest.mark.parametrize("algorithm", [DPO(beta=0.3), DPO(loss_type="ipo", beta=0.3), KTO(beta=0.3)], ids=str)
def test_the_policy_learns_what_was_preferred(algorithm: DPO | KTO, tmp_path: Path) -> None:
    source = thumbs(tmp_path) if isinstance(algorithm, KTO) else pairs(tmp_path)
    made = prefer(recipe(tmp_path, algorithm, source, evaluate_every=15))
    before, after = load(str(tmp_path / "base")), load(str(made.model))
    rows = made.metrics
    name = "thumb_accuracy" if isinstance(algorithm, KTO) else "pair_accuracy"
    assert rows[-1][name] > 0.9
    assert rows[-1][f"validation_{name}"] > 0.5
    assert rows[-1]["loss"] < rows[0]["loss"]
    for i, letter in enumerate(LETTERS):
        wrong = LETTERS[(i + 1) % 4] + ("" if isinstance(algorithm, KTO) else "#")
        gained = chance(after, f"{letter}=", letter) / chance(before, f"{letter}=", letter)
        lost = chance(after, f"{letter}=", wrong) / chance(before, f"{letter}=", wrong)
        assert gained > 3 * lost


def test_the_reference_is_the_model_the_run_began_with(tmp_path: Path) -> None:
    config = recipe(tmp_path, DPO(), pairs(tmp_path))
    policy, start = load(config.model), load(config.model)
    labels = [Comparison(f"{c}=", Answer(c), Answer("#" * (i + 1))) for i, c in enumerate(LETTERS)]
    examples, _ = encode_answers(Renderer(policy.tokenizer), labels, 64)
    (tmp_path / "run").mkdir()
    loop = FitLoop(config, policy, Run(tmp_path / "run"), examples, [])
    first = loop.step(1)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)  # the policy still is its reference
    loop.step(2)
    batch, _ = loop._credited(examples)
    with torch.no_grad():
        expected = start.score(batch).logprob
    torch.testing.assert_close(batch.ref_logprob, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(policy.score(batch).logprob, expected)


@pytest.mark.parametrize("algorithm", [DPO(), KTO()], ids=str)
def test_an_interrupted_run_ends_with_the_same_bits(algorithm: DPO | KTO, tmp_path: Path) -> None:
    source = thumbs(tmp_path) if isinstance(algorithm, KTO) else pairs(tmp_path)
    sizes: dict[str, Any] = {"steps": 7, "save_every": 3, "evaluate_every": 2}
    whole = prefer(recipe(tmp_path, algorithm, source, "whole", **sizes))
    other = recipe(tmp_path, algorithm, source, "cut", **sizes)
    with interrupted_after(5):
        prefer(other)
    again = prefer(other, resume=True)
    assert (whole.model / "model.safetensors").read_bytes() == (again.model / "model.safetensors").read_bytes()
    assert timeless(whole.metrics) == timeless(again.metrics)


@pytest.mark.parametrize("algorithm", [NLL(), GRPO(), PPO()], ids=lambda a: type(a).__name__)
def test_other_algorithms_are_refused(algorithm: Any, tmp_path: Path) -> None:
    with pytest.raises(HoneError, match="does not learn from what people said"):
        prefer(recipe(tmp_path, algorithm, pairs(tmp_path)))


def test_thumbs_are_asked_for_where_there_are_pairs(tmp_path: Path) -> None:
    with pytest.raises(HoneError, match="no thumbs to learn from"):
        prefer(recipe(tmp_path, KTO(), pairs(tmp_path)))


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_model(tmp_path / "base")
    flags = ["--data.source", pairs(tmp_path), "--model.path", str(tmp_path / "base"), "--run.out", str(tmp_path / "r")]
    assert call(["prefer", *flags, "--run.steps", "2", "--rows", "4"]) == 0
    assert (tmp_path / "r" / "model" / "model.safetensors").is_file()
    assert call(["prefer", "--data.source", "x.jsonl"]) == 2
    assert "give model.path" in capsys.readouterr().err
    assert call(["prefer", *flags, "--algorithm.name", "dpo", "--algorithm.betta", "1"]) == 2
    assert "beta" in capsys.readouterr().err
    assert call(["prefer", "--help"]) == 0
    assert "algorithm.label_smoothing" in capsys.readouterr().out.replace("-", "_")
