"""Weights that are trained are float32 whatever the dtype of computing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from policies import ragged, tiny
from safetensors.torch import load_file
from torch import Tensor

from hone import GRPO, train
from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.engines.base import Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.models.policy import LoraConfig, Policy, load
from hone.models.precision import casts, compute_dtype
from hone.models.score import score
from hone.training.run import Run

LORA = LoraConfig(rank=2)
SETTINGS: dict[str, Any] = {"steps": 3, "prompts": 4, "samples": 4, "lr": 1e-3, "max_tokens": 3, "save_every": 1}


def both(folder: Path, architecture: str = "llama", **options: Any) -> tuple[Policy, Policy]:
    """The same policy computing in float32 and in bfloat16."""
    tiny(architecture).save(folder)
    return load(folder, dtype="float32"), load(folder, dtype="bfloat16", **options)


def logprob(policy: Policy) -> Tensor:
    with torch.no_grad():
        return score(policy, ragged()).logprob


def gradients(policy: Policy) -> dict[str, Tensor]:
    policy.model.zero_grad()
    torch.autograd.backward(score(policy, ragged()).logprob.sum())
    return {name: p.grad.clone() for name, p in policy.trainable() if p.grad is not None}


def weights(policy: Policy) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in policy.model.named_parameters()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> float:
    """Share of the numbers that differ."""
    moved = sum(int((before[name] != after[name]).sum()) for name in before)
    return moved / sum(tensor.numel() for tensor in before.values())


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2"])
def test_half_precision_scores_nearly_as_float32(tmp_path: Path, architecture: str) -> None:
    full, half = both(tmp_path, architecture)
    assert compute_dtype(full.model) == torch.float32 and compute_dtype(half.model) == torch.bfloat16
    got = logprob(half)
    assert got.dtype == torch.float32
    assert 0 < float((got - logprob(full)).abs().max()) < 2e-2


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2"])
def test_the_engine_computes_as_the_learner_does(tmp_path: Path, architecture: str) -> None:
    half = both(tmp_path, architecture)[1]
    engine = EmbeddedEngine.of(half, slots=3)
    assert engine.mode == "cached"
    prompts = [(3, 4, 5), (6, 7), (8, 9, 10, 11, 12), (3, 4, 5)]
    done = engine.generate([Request(i, prompt, Sampling(max_tokens=12), i) for i, prompt in enumerate(prompts)])
    for prompt, completion in zip(prompts, done, strict=True):
        tokens_1T = torch.tensor([[*prompt, *completion.tokens]])
        row = dataclasses.replace(one_row(tokens_1T), train=torch.arange(tokens_1T.shape[1])[None] >= len(prompt))
        with torch.no_grad():
            again = score(half, row).logprob[row.train].tolist()
        assert completion.logprobs == pytest.approx(again, abs=2e-2)


def one_row(tokens_1T: Tensor) -> Batch:
    length = tokens_1T.shape[1]
    return dataclasses.replace(ragged((length,)), tokens=tokens_1T, sampled=torch.zeros(1, length, dtype=torch.bool))


@pytest.mark.parametrize(
    ("architecture", "dtype"),
    [
        pytest.param("gpt_neox", torch.bfloat16, id="the compute dtype"),
        pytest.param("llama", torch.float32, id="float32 where attention is float32, in the fused way"),
    ],
)
def test_what_keys_and_values_are_kept_in(tmp_path: Path, architecture: str, dtype: torch.dtype) -> None:
    engine = EmbeddedEngine.of(both(tmp_path, architecture)[1], slots=2)
    engine.submit([Request(i, (3, 4), Sampling(max_tokens=4 + 4 * i, min_tokens=4 + 4 * i), i) for i in range(2)])
    assert [name for name, _ in engine.collect()] == [0]
    layer = engine._forward.cache.layers[0]  # type: ignore[attr-defined]
    assert layer.keys.dtype == layer.values.dtype == dtype


def test_a_small_step_moves_the_weights(tmp_path: Path) -> None:
    half = both(tmp_path)[1]
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    before = weights(half)
    gradients(half)
    parameters = [p for _, p in half.trainable()]
    torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0).step()
    after = weights(half)
    assert changed(before, after) > 0.9
    rounded = [{name: tensor.bfloat16() for name, tensor in held.items()} for held in (before, after)]
    assert changed(*rounded) < 0.1, "what bfloat16 weights would have kept of the step"


def test_gradients_flow_from_the_first_score_on(tmp_path: Path) -> None:
    full, half = both(tmp_path)
    wanted, got = gradients(full), gradients(half)
    assert wanted.keys() == got.keys()
    for name, gradient in got.items():
        assert gradient.dtype == torch.float32
        assert float(torch.cosine_similarity(gradient.flatten(), wanted[name].flatten(), 0)) > 0.99, name
    recomputing = load(tmp_path, dtype="bfloat16", gradient_checkpointing=True)
    assert equal(gradients(recomputing), got)


def test_values_are_computed_in_float32(tmp_path: Path) -> None:
    half = both(tmp_path)[1]
    torch.nn.init.constant_(half.add_value_head().linear.weight, 0.1)
    value = score(half, ragged(), needs=frozenset({"value"})).value
    assert value is not None and bool((value != value.bfloat16()).any())


def test_half_precision_weights_on_disk_become_float32_exactly_and_stay(tmp_path: Path) -> None:
    policy = tiny()
    policy.model.bfloat16()
    policy.save(tmp_path / "half")
    assert {t.dtype for t in load_file(tmp_path / "half" / "model.safetensors").values()} == {torch.bfloat16}
    loaded = load(tmp_path / "half", dtype="bfloat16")
    assert equal({name: tensor.float() for name, tensor in weights(policy).items()}, weights(loaded))
    with torch.no_grad():
        for _, parameter in loaded.trainable():
            parameter.add_(1e-6)
    loaded.save(tmp_path / "saved")
    again = load(tmp_path / "saved", dtype="bfloat16")
    assert equal(weights(again), weights(loaded)) and torch.equal(logprob(again), logprob(loaded))


def test_the_reference_computes_alike_and_stays(tmp_path: Path) -> None:
    half = both(tmp_path)[1]
    before = logprob(half)
    reference = half.reference()
    assert casts(reference.model)
    with torch.no_grad():
        for _, parameter in half.trainable():
            parameter.mul_(1.5)
    assert torch.equal(reference.score(ragged()).logprob, before)
    assert not torch.equal(logprob(half), before)


def test_an_adapter_is_float32_over_a_half_precision_base(tmp_path: Path) -> None:
    full, half = both(tmp_path, lora=LORA)
    trained = dict(half.trainable())
    assert trained and all(".lora_" in name and p.dtype == torch.float32 for name, p in trained.items())
    frozen = [p for p in half.model.parameters() if not p.requires_grad]
    assert {p.dtype for p in frozen} == {torch.bfloat16}
    assert float((logprob(half) - logprob(full)).abs().max()) < 2e-2
    assert EmbeddedEngine.of(half).mode == "cached"
    assert torch.equal(half.reference().score(ragged()).logprob, logprob(half))


def test_merging_widens_first(tmp_path: Path) -> None:
    half = both(tmp_path, lora=LORA)[1]
    layer = half.model.get_base_model().model.layers[0].self_attn.q_proj
    torch.nn.init.constant_(layer.lora_B["default"].weight, 1e-4)
    update = (layer.lora_B["default"].weight @ layer.lora_A["default"].weight) * (LORA.alpha / LORA.rank)
    expected = (layer.base_layer.weight.float() + update).detach()
    assert not torch.equal(expected, expected.bfloat16().float())
    half.merge()
    merged = half.model.model.layers[0].self_attn.q_proj.weight
    assert merged.dtype == torch.float32 and torch.allclose(merged, expected, rtol=1e-6, atol=0)
    assert casts(half.model) and len(list(half.trainable())) == len(list(half.model.parameters()))
    half.save(tmp_path / "merged")
    assert torch.equal(logprob(load(tmp_path / "merged", dtype="bfloat16")), logprob(half))


class CrashError(Exception):
    """What stands in for a crash."""


@pytest.mark.parametrize("lora", [None, LORA])
def test_training_resumes_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: LoraConfig | None) -> None:
    base = toy.tiny_model(tmp_path / "base")

    def run(name: str, resume: bool = False) -> Run:
        policy = load(base, dtype="bfloat16", lora=lora)
        return train(policy, toy.Echo(), GRPO(beta=0.01), out=str(tmp_path / name), resume=resume, **SETTINGS)

    whole = run("whole")
    log = Run.log

    def fail(self: Run, step: int, metrics: Any) -> None:
        if step == 3:
            raise CrashError
        log(self, step, metrics)

    with monkeypatch.context() as patched, pytest.raises(CrashError):
        patched.setattr(Run, "log", fail)
        run("cut")
    with pytest.raises(HoneError, match=r"not finished.*checkpoints/step-N/model"):
        load(tmp_path / "cut")
    resumed = run("cut", resume=True)

    file = "model.safetensors" if lora is None else "adapter_model.safetensors"
    expected, got = load_file(whole.model / file), load_file(resumed.model / file)
    assert {tensor.dtype for tensor in got.values()} == {torch.float32}
    assert equal(got, expected)
    start = weights(load(base, dtype="bfloat16", lora=lora))
    # A run's directory stands for its model.
    named = load(resumed.path, dtype="bfloat16")
    assert named.config.path == str(resumed.path)
    assert equal(weights(named), weights(load(resumed.model, dtype="bfloat16")))
    trained = {name for name, p in named.model.named_parameters() if p.requires_grad}
    moved = changed({n: start[n] for n in trained}, {n: weights(named)[n] for n in trained})
    assert moved > 0.5
