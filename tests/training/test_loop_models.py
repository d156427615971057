"""Every architecture, with and without chat template and adapter, trains on GSM8K-style questions and loads again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from policies import ARCHITECTURES

from hone import GRPO, Questions, load, train
from hone.envs.graders._extract import Extraction
from hone.models.config import LoraConfig, ModelConfig
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import byte_tokenizer

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k-train.jsonl.gz"
CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def questions(path: str) -> Questions:
    # a closure: sent to its child process by value, which need not import this file and torch
    def lengths(prompts: list[str], completions: list[object], **columns: list[str]) -> list[float]:
        """A reward that a random model gets to see differences in; a conversation's completion is a message."""
        assert all("#### " in working for working in columns["working"])
        return [float(sum(map(ord, str(completion)))) % 7 for completion in completions]

    graders = ({"name": "numeric", "marker": "####"}, (lengths, 0.1))
    return Questions(path, prompt="question", gold=Extraction(marker="####"), graders=graders, limit=40)


@pytest.fixture
def data(tmp_path: Path) -> str:
    rows = [{"question": f"{a} and {a} is?", "answer": f"twice {a}\n#### {2 * a}"} for a in range(20)]
    for row in rows:
        row["working"] = row["answer"]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path / "data.jsonl")


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("chat", [False, True], ids=["plain", "chat"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architecture_trains_and_loads(architecture: str, chat: bool, adapted: bool, data: str, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT if chat else None
    create_tiny(TinyConfig(architecture, width=16, layers=2, heads=2, max_length=128), tokenizer, 0).save(
        tmp_path / "m"
    )
    lora = LoraConfig(rank=2) if adapted else None
    policy = load(ModelConfig(str(tmp_path / "m"), lora=lora, gradient_checkpointing=True))
    before = {name: p.detach().clone() for name, p in policy.trainable()}
    run = train(
        policy,
        questions(data),
        GRPO(beta=0.01),
        out=str(tmp_path / "run"),
        prompts=2,
        samples=3,
        max_tokens=4,
        steps=2,
        lr=1e-3,
    )
    assert all(row["logprob_gap_max"] < 1e-5 for row in run.metrics)
    assert run.metrics[0]["criterion/numeric"] == 0.0
    assert run.metrics[0]["reward"] == pytest.approx(0.1 * run.metrics[0]["criterion/lengths"])
    assert any(not torch.equal(before[name], p) for name, p in policy.trainable())
    again = dict(load(str(run.model)).trainable())
    assert all(torch.equal(again[name], p) for name, p in policy.trainable())


@pytest.mark.skipif(not GSM8K.exists(), reason="the GSM8K file is not here")
def test_gsm8k_trains(tmp_path: Path) -> None:
    task = Questions(
        str(GSM8K), prompt="question", gold=Extraction(marker="####"), graders=({"name": "numeric", "marker": "####"},)
    )
    assert task.size("train") + task.size("test") == 7473
    policy = create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=1024), byte_tokenizer(), 0)
    policy.save(tmp_path / "m")
    run = train(
        str(tmp_path / "m"),
        task,
        GRPO(),
        out=str(tmp_path / "run"),
        prompts=2,
        samples=2,
        max_tokens=8,
        steps=3,
        lr=1e-3,
    )
    assert [(row["reward"], row["failures"]) for row in run.metrics] == [(0.0, 0.0)] * 3
