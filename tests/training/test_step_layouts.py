"""Every layout gives the loss and the gradient of the padded one: for every algorithm, on models of every kind."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import engine_models
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import ragged
from random_batches import Episode, build, episode_lists
from reducing import with_advantages
from torch import Tensor

from hone import A2C, CISPO, DAPO, GRPO, GSPO, PPO, REINFORCE, RLOO, DrGRPO
from hone.algorithms.base import Algorithm
from hone.algorithms.nll import NLL
from hone.algorithms.rejection import Rejection
from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.models import flat as flat_module
from hone.models.adapters import apply_lora
from hone.models.checkpointing import checkpoint_activations
from hone.models.config import LoraConfig, ModelConfig
from hone.models.layout import unusable
from hone.models.policy import Policy
from hone.models.tokenizer import char_tokenizer
from hone.training.micro import micro_batches
from hone.training.update import update

MODELS = ("llama", "qwen2", "gemma2", "mistral", "gpt_neox", "gpt2", "lora", "checkpointed")


@functools.cache
def policy(name: str) -> Policy:
    """In float64, so that what differs is not rounding; the log-softmax is float32 all the same."""
    model = engine_models.tiny(name if name in engine_models.CACHED else "llama")
    if name == "lora":
        model = apply_lora(model, LoraConfig(rank=2))
        noise = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for key, weight in model.named_parameters():
                if "lora_B" in key:
                    weight.normal_(std=0.1, generator=noise)
    if name == "checkpointed":
        checkpoint_activations(model)
    found = Policy(model.double(), char_tokenizer("0123"), ModelConfig(""))
    torch.nn.init.normal_(found.add_value_head().linear.weight, generator=torch.Generator().manual_seed(2))
    assert not unusable(model)
    return found


class Capture(torch.optim.SGD):
    """An optimiser that keeps the gradient (0 if it was not finite and so not applied) and moves nothing."""

    seen = torch.zeros(1)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for g in self.param_groups for p in g["params"]]
        self.seen = torch.cat([grad.flatten().double() for grad in grads])


def learnt(
    learner: Policy, algorithm: Algorithm, batch: Batch, *, micro_tokens: int, temperature: float, layout: str
) -> tuple[dict[str, float], Tensor]:
    capture = Capture([p for _, p in learner.trainable()])
    metrics = update(
        learner,
        capture,
        algorithm,
        batch,
        algorithm.init_state(),
        micro_tokens=micro_tokens,
        temperature=temperature,
        clip=0.0,
        layout=layout,  # type: ignore[arg-type]
    )
    return metrics, capture.seen


def worded(batch: Batch, seed: int, opening: int) -> Batch:
    """Random tokens; rows of one group begin alike, as far as nobody sampled there."""
    noise = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, 5, batch.tokens.shape, generator=noise)
    ahead = torch.randint(2, 60, (len(batch), opening), generator=noise)
    for row in range(len(batch)):  # a row is its group's opening, then its own cells
        first = int((batch.group == batch.group[row]).nonzero()[0])
        ahead[row] = ahead[first]
    columns = {}
    for name, column in batch._columns().items():
        if column.dim() == 2:
            filler = ahead if name == "tokens" else torch.full_like(ahead, name == "mask").to(column.dtype)
            columns[name] = torch.cat([filler, tokens if name == "tokens" else column], 1)
    return batch.with_(**columns)


@pytest.mark.parametrize(
    "algorithm",
    [
        GRPO(),
        GRPO(beta=0.1, normaliser="tokens"),
        GRPO(normaliser=4, tis=1.5),
        RLOO(beta=0.1),
        DAPO(mis=(0.5, 2.0)),
        DrGRPO(length=4),
        GSPO(clip_low=0.1, clip_high=0.2),
        CISPO(),
        REINFORCE(beta=0.1),
        NLL(),
        Rejection(threshold=0.3),
        PPO(),
        PPO(clock="turn", entropy_weight=0.1),
        A2C(alpha=0.2, beta=0.1),
    ],
    ids=str,
)
@settings(max_examples=6, deadline=None)
@given(
    specs=episode_lists(most=5).filter(bool),
    seed=st.integers(0, 10**6),
    opening=st.sampled_from([0, 3, 11]),
    name=st.sampled_from(MODELS),
    micro_tokens=st.sampled_from([1, 40, 10**6]),
    temperature=st.sampled_from([1.0, 0.7]),
    together=st.sampled_from([1, 8, 64]),
)
def test_layouts_agree(
    algorithm: Algorithm,
    specs: list[Episode],
    seed: int,
    opening: int,
    name: str,
    micro_tokens: int,
    temperature: float,
    together: int,
) -> None:
    batch, _ = build(specs, seed)
    batch = batch.with_(behaviour_logprob=batch.need("ref_logprob") * batch.sampled)
    batch = worded(with_advantages(algorithm, batch.with_(truncated=batch.step == 0)), seed, opening)
    learner = policy(name)
    asked = {"micro_tokens": micro_tokens, "temperature": temperature}
    metrics, gradient = learnt(learner, algorithm, batch, **asked, layout="padded")  # type: ignore[arg-type]
    flat_of = functools.partial(flat_module.flat_of, together=together)
    for layout in ("packed", "tree", "auto"):
        with mock.patch("hone.models.layout.flat_of", flat_of):
            ours, found = learnt(learner, algorithm, batch, **asked, layout=layout)  # type: ignore[arg-type]
        assert ours.keys() == metrics.keys()
        for key, want in metrics.items():
            assert ours[key] == pytest.approx(want, rel=1e-5, abs=1e-6), (layout, key)
        assert float((found - gradient).norm()) <= 1e-5 * float(gradient.norm()) + 1e-9, layout


@settings(deadline=None)
@given(
    specs=episode_lists().filter(bool),
    seed=st.integers(0, 10**6),
    unit=st.sampled_from(["row", "group"]),
    micro_tokens=st.integers(1, 80),
    distinct=st.booleans(),
)
def test_micro_batches_hold_every_row_once_and_units_whole(
    specs: list[Episode], seed: int, unit: str, micro_tokens: int, distinct: bool
) -> None:
    batch = worded(build(specs, seed)[0], seed, 3)
    cuts = [index.tolist() for index in micro_batches(batch, unit, micro_tokens, distinct=distinct)]
    assert sorted(row for rows in cuts for row in rows) == list(range(len(batch)))
    for rows in cuts:
        groups = {int(batch.group[row]) for row in rows}
        if unit == "group":
            assert {b for b in range(len(batch)) if int(batch.group[b]) in groups} == set(rows)
        beginnings = {
            tuple(batch.tokens[row, : t + 1].tolist()) for row in rows for t in range(int(batch.mask[row].sum()))
        }
        padded = len(rows) * max(int(batch.mask[row].sum()) for row in rows)
        units = len(groups) if unit == "group" else len(rows)
        assert units == 1 or (len(beginnings) if distinct else padded) <= micro_tokens


def test_a_group_stays_together_where_its_prompt_is_counted_once() -> None:
    tokens = torch.tensor([[5] * 20 + [i, 9] for i in range(3)] + [[7] * 20 + [i, 9] for i in range(3)])
    batch = ragged((22,) * 6).with_(tokens=tokens[[0, 3, 1, 4, 2, 5]])
    cuts = [sorted(index.tolist()) for index in micro_batches(batch, "token", 26, distinct=True)]
    assert sorted(cuts) == [[0, 2, 4], [1, 3, 5]]


def test_a_model_that_computes_its_own_attention_is_refused_by_name_and_padded_on_its_own() -> None:
    model = engine_models.tiny("bloom")
    learner = Policy(model, char_tokenizer("0123"), ModelConfig(""))
    assert not learner.skips_padding("auto")
    with torch.no_grad():
        padded = learner.score(ragged(), layout="padded").logprob
        assert torch.equal(learner.score(ragged(), layout="auto").logprob, padded)
    with pytest.raises(HoneError, match=r"BloomForCausalLM: its attention cannot be replaced"):
        learner.score(ragged(), layout="tree")


def test_a_model_that_would_differ_is_padded(caplog: pytest.LogCaptureFixture) -> None:
    """Positions shifted by one layer's own counting: nothing here knows of it, and the comparison finds it."""
    model = engine_models.tiny("gpt2")
    embed = model.transformer.wpe.forward
    model.transformer.wpe.forward = lambda position: embed(torch.arange(position.shape[1])[None])
    assert "hidden states differ" in unusable(model)
    assert "GPT2LMHeadModel is computed with padding" in caplog.text
    learner = Policy(model, char_tokenizer("0123"), ModelConfig(""))
    assert not learner.skips_padding("auto")
    with pytest.raises(HoneError, match="hidden states differ"):
        learner.skips_padding("packed")
