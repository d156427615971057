"""Context distillation: the KL by hand, what the teacher says in its place, learning, resume, what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stopping import interrupted_after
from toy import Echo, tiny_model

from hone import GRPO, load
from hone.algorithms.base import credited
from hone.algorithms.distill import Distill
from hone.algorithms.nll import NLL
from hone.cli.main import call
from hone.core.errors import HoneError
from hone.core.terms import Tokens
from hone.data.rows import Row, pad_examples
from hone.engines.base import Sampling
from hone.functional.distillation import top_kl
from hone.functional.kl import exact_kl
from hone.models.chat import Renderer
from hone.models.config import ModelConfig
from hone.models.policy import Policy
from hone.training.distilling import DistillRecipe, PromptsConfig, distill, guided
from hone.training.micro import micro_batches
from hone.training.recipe import OptimiserConfig, RunConfig

NAN = float("nan")
GUIDE = "#d#d"


@given(
    st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    st.lists(st.floats(-3, 3), min_size=6, max_size=6),
    st.integers(1, 5),
)
def test_the_kl_whole_and_of_the_likeliest(teacher: list[float], student: list[float], k: int) -> None:
    p, q = torch.tensor(teacher, dtype=torch.float64), torch.tensor(student, dtype=torch.float64).requires_grad_()
    whole = top_kl(p.log_softmax(-1), q.log_softmax(-1), whole=True)
    expected = exact_kl(p, q)
    assert float(whole.detach()) == pytest.approx(float(expected.detach()), abs=1e-9)
    (slope,) = torch.autograd.grad(whole, q, retain_graph=True)
    # ∇_q KL(p‖softmax q) = softmax(q) − p
    torch.testing.assert_close(slope, (q.softmax(-1) - p.softmax(-1)).detach())
    top = p.log_softmax(-1).topk(k)
    part = top_kl(top.values, q.log_softmax(-1)[top.indices], whole=False)
    assert -1e-6 <= float(part.detach()) <= float(whole.detach()) + 1e-6


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load(str(tiny_model(tmp_path / "base")))


def two_rows(renderer: Renderer, prompt: str, answer: list[int]) -> tuple[Row, Row]:
    made = []
    for context, worth in ((renderer.opening(prompt), 0.0), (guided(renderer, GUIDE, prompt), NAN)):
        made.append(Row((*context, *answer), (*[False] * len(context), *[True] * len(answer)), worth))
    return made[0], made[1]


@pytest.mark.parametrize("top_k", [0, 3])
@pytest.mark.parametrize("micro_tokens", [9, 1000])
def test_what_the_teacher_says_stands_at_the_student_s_tokens(policy: Policy, top_k: int, micro_tokens: int) -> None:
    renderer = Renderer(policy.tokenizer)
    answers = [[4, 5, 6], [3], [5, 2]]
    examples = [two_rows(renderer, prompt, a) for prompt, a in zip(["a=", "bb=", "c="], answers, strict=True)]
    batch = pad_examples([examples[0], examples[1][::-1], examples[2]], policy.pad_id)
    taught = policy.reference().teach(batch, top_k, micro_batches(batch, "row", micro_tokens))
    made, _ = credited(Distill(top_k), taught, Distill(top_k).init_state())
    assert len(made) == 3
    scores = policy.score(made, needs=Distill(top_k).needs)
    losses = []
    for row, (student, teacher), answer in zip(range(3), examples, answers, strict=True):
        with torch.no_grad():
            logits = [policy.model(input_ids=torch.tensor([r.tokens])).logits[0] for r in (student, teacher)]
        for n in range(len(answer)):
            at_student, at_teacher = (len(r.tokens) - len(answer) + n for r in (student, teacher))
            q, p = logits[0][at_student - 1].log_softmax(-1), logits[1][at_teacher - 1].log_softmax(-1)
            top = p.topk(top_k or len(p))
            torch.testing.assert_close(made.need("teacher_logprob")[row, at_student], top.values, atol=1e-5, rtol=1e-5)
            assert scores.teacher is not None
            torch.testing.assert_close(scores.teacher[row, at_student].detach(), q[top.indices], atol=1e-5, rtol=1e-5)
            losses.append(float(top_kl(top.values, q[top.indices], whole=top_k == 0)))
    terms = Distill(top_k).loss(made, scores, Distill(top_k).init_state())
    found = float(terms["kl"].reduce(Tokens().weights(made)).detach())
    assert found == pytest.approx(sum(losses) / len(losses), abs=1e-5)


def recipe(folder: Path, algorithm: Any, out: str = "run", **run: Any) -> DistillRecipe:
    if not (folder / "base").exists():
        tiny_model(folder / "base")
    prompts = folder / "prompts.jsonl"
    texts = [f"{'#' * i}{x}{y}=" for i in range(3) for x in "abcd" for y in "abcd"]
    prompts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in [*texts, texts[0]]))
    return DistillRecipe(
        PromptsConfig(str(prompts), answers=2, validation=0.25),
        ModelConfig(str(folder / "base")),
        GUIDE,
        algorithm,
        Sampling(max_tokens=4),
        rows=16,
        micro_tokens=200,
        optimiser=OptimiserConfig(lr=5e-3),
        run=RunConfig(out=str(folder / out), **{"steps": 60, "save_every": 60, "evaluate_every": 20, **run}),
    )


def distance(teacher: Policy, student: Policy) -> float:
    """KL of the first answer token's distributions, guidelines against none, over some prompts."""
    renderer, total = Renderer(teacher.tokenizer), 0.0
    for prompt in ["ab=", "#dc=", "##ca=", "bb="]:
        with torch.no_grad():
            p = teacher.model(input_ids=torch.tensor([guided(renderer, GUIDE, prompt)])).logits[0, -1]
            q = student.model(input_ids=torch.tensor([renderer.opening(prompt)])).logits[0, -1]
        total += float(exact_kl(p, q)) / 4
    return total


@pytest.mark.parametrize("algorithm", [Distill(), Distill(top_k=2)], ids=str)
def test_the_student_comes_nearer_to_the_guided_teacher(algorithm: Distill, tmp_path: Path) -> None:
    made = distill(recipe(tmp_path, algorithm))
    start, student = load(str(tmp_path / "base")), load(str(made.model))
    assert distance(start, student) < 0.4 * distance(start, start)
    rows = made.metrics
    assert rows[-1]["validation_kl"] < rows[19]["validation_kl"]
    assert rows[-1]["agreement"] > rows[0]["agreement"]


def test_sampled_tokens_alone_lead_there_too(tmp_path: Path) -> None:
    """With enough of them: a few answers learnt by heart are not the distribution they came from."""
    asked = recipe(tmp_path, NLL())
    many = dataclasses.replace(asked, data=dataclasses.replace(asked.data, answers=40), rows=64)
    made = distill(dataclasses.replace(many, optimiser=OptimiserConfig(lr=2e-3)))
    start, student = load(str(tmp_path / "base")), load(str(made.model))
    assert distance(start, student) < distance(start, start)


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = distill(recipe(tmp_path, Distill(), "whole", steps=6, save_every=2, evaluate_every=2))
    other = recipe(tmp_path, Distill(), "cut", steps=6, save_every=2, evaluate_every=2)
    with interrupted_after(3):
        distill(other)
    again = distill(other, resume=True)
    assert (whole.model / "model.safetensors").read_bytes() == (again.model / "model.safetensors").read_bytes()


def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HoneError, match="GRPO does not distil"):
        distill(recipe(tmp_path, GRPO()))
    with pytest.raises(ValueError, match="guidelines is empty"):
        DistillRecipe(PromptsConfig(task=Echo()), ModelConfig("x"), " ")
    base = ["--model.path", str(tmp_path / "base"), "--data.source", str(tmp_path / "prompts.jsonl")]
    assert call(["distill", *base]) == 2
    assert "there are no guidelines" in capsys.readouterr().err
    flags = [*base, "--guidelines", "abc", "--run.out", str(tmp_path / "r"), "--run.steps", "2"]
    assert call(["distill", *flags, "--sampling.max-tokens", "3", "--rows", "4"]) == 0
    assert (tmp_path / "r" / "model").is_dir()
    assert call(["distill", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "algorithm.top_k" in shown.replace("-", "_") and "data.task.name" in shown
