"""Pretraining rows beside the rollouts: one gradient of two losses, keyed order, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import Echo, tiny_model

from hone import PPO, load, train
from hone.algorithms.nll import NLL
from hone.algorithms.reinforce import REINFORCE
from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.core.terms import Tokens
from hone.data.rows import Row, pad_rows
from hone.models.policy import Policy
from hone.training.build import recipe_from
from hone.training.ptx import PtxStream
from hone.training.recipe import PtxConfig
from hone.training.update import Beside, update


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load(str(tiny_model(tmp_path / "base")))


def rows(seed: int, count: int) -> Batch:
    random = torch.Generator().manual_seed(seed)
    made = []
    for i in range(count):
        tokens = torch.randint(2, 7, (3 + i % 4,), generator=random).tolist()
        made.append(Row(tuple(tokens), (False, *[True] * (len(tokens) - 1))))
    return pad_rows(made, 0)


class Slope(torch.optim.SGD):
    """Keeps the gradient it was asked to apply."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.kept = [p.grad.clone() for g in self.param_groups for p in g["params"]]


def slope(policy: Policy, batch: Batch, micro_tokens: int, **more: Any) -> tuple[list[torch.Tensor], dict[str, float]]:
    optimiser = Slope([p for _, p in policy.trainable()], lr=1.0)
    algorithm = REINFORCE()
    credited = batch.with_(advantage=torch.where(batch.train, 0.7, 0.0), old_logprob=batch.behaviour_logprob)
    found = update(
        policy, optimiser, algorithm, credited, algorithm.init_state(), micro_tokens=micro_tokens, clip=0.0, **more
    )
    return optimiser.kept, found


@pytest.mark.parametrize("micro_tokens", [1, 13, 10_000])
def test_the_gradient_is_the_sum_of_both_each_with_its_own_denominator(policy: Policy, micro_tokens: int) -> None:
    batch, text = rows(0, 5), rows(1, 9)
    alone, first = slope(policy, batch, 10_000)
    both, found = slope(policy, batch, micro_tokens, beside=Beside("ptx", NLL(), text, 2.5))
    score = policy.score(text).logprob
    nll = -(score * Tokens().weights(text)).sum()
    added = torch.autograd.grad(nll, [p for _, p in policy.trainable()])
    for together, one, other in zip(both, alone, added, strict=True):
        torch.testing.assert_close(together, one + 2.5 * other, atol=2e-6, rtol=1e-4)
    assert found["ptx"] == pytest.approx(float(nll.detach()), rel=1e-5)
    assert found["loss"] == pytest.approx(first["loss"] + 2.5 * found["ptx"], rel=1e-5)


def test_the_stream_is_a_function_of_the_update_and_passes_over_every_row(policy: Policy) -> None:
    config = PtxConfig(task=Echo(), examples=12, rows=4)
    stream, again = PtxStream(config, policy, 3), PtxStream(config, policy, 3)
    assert stream.digest == again.digest
    passes = [stream.at(update).batch.tokens for update in range(6)]
    assert torch.equal(again.at(4).batch.tokens, passes[4])
    # three updates are one pass over the twelve rows; the next pass has another order
    first, second = torch.cat(passes[:3]).tolist(), torch.cat(passes[3:]).tolist()
    assert sorted(first) == sorted(second) == sorted(list(row.tokens) for row in stream.rows)
    assert first != second
    assert PtxStream(config, policy, 4).at(0).batch.tokens.tolist() != first[:4]


def test_ptx_keeps_the_loss_on_its_text(tmp_path: Path) -> None:
    """The reward wants the letter shown; the text wants another one for half of the letters."""
    model = str(tiny_model(tmp_path / "base"))
    text = tmp_path / "text.jsonl"
    text.write_text("".join(json.dumps({"text": line}) + "\n" for line in ["d#=d", "c#=c", "#=ba"]))
    settings: dict[str, Any] = {"prompts": 4, "samples": 4, "max_tokens": 2, "lr": 3e-3, "steps": 15}
    seen = {}
    for weight in (None, 1.0):
        ptx = None if weight is None else PtxConfig(weight, source=str(text), rows=3)
        run = train(model, Echo(), PPO(), out=str(tmp_path / f"{weight}"), ptx=ptx, **settings)
        policy = load(str(run.model))
        stream = PtxStream(PtxConfig(source=str(text), rows=3), policy, 0)
        batch = stream.at(0).batch
        with torch.no_grad():
            seen[weight] = -float((policy.score(batch).logprob * Tokens().weights(batch)).sum())
    assert seen[1.0] < seen[None] - 0.3


@pytest.mark.parametrize(
    ("ptx", "sentence"),
    [
        ({"weight": 27.8}, "ptx needs a corpus"),
        ({"source": "a.jsonl", "task": {"name": "addition"}}, "ptx needs a corpus"),
        ({"source": "a.jsonl", "weight": 0.0}, "must be positive"),
        ({"source": "a.jsonl", "examples": 5}, "no effect on ptx.source"),
        ({"task": {"name": "addition"}, "split": "train"}, "no effect on ptx.task"),
        ({"source": "a.jsonl", "wieght": 1.0}, 'did you mean "weight"|weight'),
        ({"task": {"name": "addition", "digitz": 3}}, "digits"),
    ],
)
def test_refused(ptx: dict[str, Any], sentence: str) -> None:
    values = {"model": {"path": "x"}, "task": {"name": "addition"}, "algorithm": {"name": "ppo"}, "ptx": ptx}
    with pytest.raises(HoneError, match=sentence):
        recipe_from(values)


def test_a_corpus_without_a_row_that_fits(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "long.jsonl").write_text(json.dumps({"prompt": "a" * 70, "completion": "b"}) + "\n")
    with pytest.raises(HoneError, match="no row of the pretraining corpus fits"):
        PtxStream(PtxConfig(source=str(tmp_path / "long.jsonl")), policy, 0)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"optimiser": {"value_lr": 1e-3}}, "GRPO needs no values.*optimiser.value_lr"),
        ({"model": {"path": "x", "value": {"model": "separate"}}}, "GRPO needs no values.*model.value"),
    ],
)
def test_options_of_values_without_values(more: dict[str, Any], sentence: str) -> None:
    values = {"model": {"path": "x"}, "task": {"name": "addition"}, "algorithm": {"name": "grpo"}, **more}
    with pytest.raises(HoneError, match=sentence.replace(".*", r"(.|\n)*")):
        recipe_from(values).check()
