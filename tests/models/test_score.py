"""``score`` against the naive computation: each row alone, without padding, all logits at once."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from policies import ARCHITECTURES, ragged, tiny
from torch import Tensor

from hone.core.batch import Batch
from hone.models import logits as logits_module
from hone.models import score as score_module
from hone.models.adapters import apply_lora
from hone.models.checkpointing import checkpoint_activations
from hone.models.layout import unusable
from hone.models.logits import inner, separable
from hone.models.policy import LoraConfig, Policy
from hone.models.score import score

NEEDS = frozenset({"entropy", "value"})


def naive(policy: Policy, batch: Batch, temperature: float) -> tuple[Tensor, ...]:
    """Log-probability, entropy, value and last value: one unpadded row after the other, every logit kept."""
    head, width = policy.value_head, batch.tokens.shape[1]
    assert head is not None
    rows = []
    for b in range(len(batch)):
        length = int(batch.mask[b].sum())
        ids = batch.tokens[b, :length]
        output = policy.model(ids[None], output_hidden_states=True)
        value = output.hidden_states[-1][0] @ head.linear.weight[0] + head.linear.bias
        p = torch.softmax(output.logits[0] / temperature, -1)
        logprob = p[torch.arange(length - 1), ids[1:]].log()
        scored = (batch.train | batch.sampled)[b, 1:length]
        shifted = (logprob, -(p * p.log()).sum(-1)[:-1], value[:-1])
        rows.append([torch.nn.functional.pad(x * scored, (1, width - length)) for x in shifted] + [value[-1]])
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))


def loss_of(logprob: Tensor, entropy: Tensor, value: Tensor, last: Tensor) -> Tensor:
    weight = torch.linspace(-1, 1, logprob.numel()).reshape(logprob.shape)
    return (weight * logprob).sum() + (weight.flip(0) * entropy).sum() + (weight**2 * value).sum() + last.sum()


def gradients(policy: Policy, columns: tuple[Tensor, ...]) -> dict[str, Tensor]:
    names, parameters = zip(*policy.trainable(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss_of(*columns), parameters), strict=True))


def with_value_head(policy: Policy) -> Policy:
    torch.nn.init.normal_(policy.add_value_head().linear.weight, generator=torch.Generator().manual_seed(2))
    return policy


def columns(policy: Policy, batch: Batch, temperature: float) -> tuple[Tensor, ...]:
    scores = score(policy, batch, needs=NEEDS, temperature=temperature)
    assert scores.entropy is not None and scores.value is not None and scores.last_value is not None
    return scores.logprob, scores.entropy, scores.value, scores.last_value


def lora(policy: Policy) -> Policy:
    policy.model = apply_lora(policy.model, LoraConfig(rank=2))
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in policy.model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.01, generator=noise)
    return policy


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("variant", ["plain", "checkpointed", "lora", "chunked"])
def test_values_and_gradients_equal_the_naive_ones(
    architecture: str, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tiny(architecture)
    batch, temperature = ragged(), 0.7
    if variant == "lora":
        policy = lora(policy)
    policy = with_value_head(policy)
    if variant == "chunked":
        monkeypatch.setattr(score_module, "_CHUNK", {"cpu": 3 * 19})
    assert separable(policy.model)
    wanted = naive(policy, batch, temperature)
    expected = gradients(policy, wanted)
    if variant == "checkpointed":
        checkpoint_activations(policy.model)
    got = columns(policy, batch, temperature)
    for column, want in zip(got, wanted, strict=True):
        torch.testing.assert_close(column, want, rtol=1e-5, atol=5e-6)
    found = gradients(policy, got)
    assert len(found) > 4
    error = torch.stack([(found[n] - g).norm() for n, g in expected.items()])
    size = torch.stack([g.norm() for g in expected.values()])
    assert error.norm() <= 1e-6 * size.norm()
    assert (error <= 1e-5 * size + 1e-6 * size.norm()).all()
    assert not policy.model.training


def test_checkpointing_really_recomputes_the_layers() -> None:
    policy = tiny()
    checkpoint_activations(policy.model)
    assert not unusable(policy.model)
    calls: list[int] = []
    policy.model.model.layers[0].input_layernorm.register_forward_hook(lambda *_: calls.append(1))
    logprob = score(policy, ragged()).logprob
    forward = len(calls)
    logprob.sum().backward()  # type: ignore[no-untyped-call]
    assert (forward, len(calls)) == (1, 2)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_does_not_matter(architecture: str) -> None:
    policy = tiny(architecture)
    short, wide = ragged(), ragged(extra=5, pad=7)
    with torch.no_grad():
        a, b = score(policy, short).logprob, score(policy, wide).logprob
    torch.testing.assert_close(a, b[:, : a.shape[1]], rtol=0, atol=1e-6)
    assert not b[:, a.shape[1] :].any()


@pytest.mark.parametrize("width", [1, 5])
def test_nothing_to_score_leaves_a_graph_with_gradients_of_zero(width: int) -> None:
    policy = with_value_head(tiny())
    batch = ragged((width, 1))
    nothing = torch.zeros_like(batch.mask)
    batch = batch.with_(sampled=nothing, train=nothing)
    total = sum((c.sum() for c in columns(policy, batch, 1.0)[:3]), torch.zeros(()))
    total.backward()  # type: ignore[no-untyped-call]
    grads = [p.grad for _, p in policy.trainable()]
    assert total == 0 and all(g is not None and not g.any() for g in grads)


def test_a_row_of_padding_alone_does_no_harm() -> None:
    policy = tiny()
    batch = ragged((6, 3))
    empty = dataclasses.replace(batch, mask=batch.mask & torch.tensor([[True], [False]]))
    score(policy, empty).logprob.sum().backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(p.grad).all() for _, p in policy.trainable() if p.grad is not None)


def test_first_token_of_a_row_is_never_scored() -> None:
    batch = ragged((5, 5))
    batch = batch.with_(train=torch.ones_like(batch.mask))
    assert not score(tiny(), batch).logprob[:, 0].any()


def test_temperature_zero_scores_at_one() -> None:
    policy, batch = tiny(), ragged()
    with torch.no_grad():
        assert torch.equal(score(policy, batch, temperature=0.0).logprob, score(policy, batch).logprob)


def test_entropy_of_a_uniform_policy_is_the_log_of_the_vocabulary() -> None:
    policy, batch = tiny(), ragged()
    torch.nn.init.zeros_(policy.model.lm_head.weight)
    with torch.no_grad():
        scores = score(policy, batch, needs=frozenset({"entropy"}))
    assert scores.entropy is not None and scores.value is None
    scored = (batch.train | batch.sampled) & (torch.arange(9) > 0)
    assert scores.entropy[scored].numpy() == pytest.approx(math.log(19), abs=1e-6)
    assert scores.logprob[scored].numpy() == pytest.approx(-math.log(19), abs=1e-6)


def test_a_value_without_a_head_is_an_error() -> None:
    with pytest.raises(LookupError, match="add_value_head"):
        score(tiny(), ragged(), needs=frozenset({"value"}))


def other(name: str) -> Any:
    import transformers

    shape = {
        "vocab_size": 19,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 24,
        "pad_token_id": 0,
        "initializer_range": 0.3,
    }
    special = {"Cohere": {"logit_scale": 0.3}, "Granite": {"logits_scaling": 5.0}, "MiniCPM3": {}}[name]
    config = getattr(transformers, f"{name}Config")(**shape, **special)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, f"{name}ForCausalLM")(config).eval()


@pytest.mark.parametrize("name", ["Cohere", "Granite"])
def test_scaled_logits_of_other_architectures(name: str) -> None:
    model, batch = other(name), ragged((6, 4))
    assert separable(model)
    with torch.no_grad():
        got = score(model, batch).logprob
        for b, length in enumerate((6, 4)):
            logp = torch.log_softmax(model(batch.tokens[b : b + 1, :length]).logits[0], -1)
            for t in range(1, length):
                if batch.train[b, t] or batch.sampled[b, t]:
                    assert float(got[b, t]) == pytest.approx(float(logp[t - 1, batch.tokens[b, t]]), abs=1e-5)


def test_a_head_that_cannot_be_called_apart_falls_back_to_the_whole_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy, batch = with_value_head(tiny()), ragged()
    expected = columns(policy, batch, 0.7)
    whole = policy.model.forward

    def doubled(*args: Any, **inputs: Any) -> Any:
        output = whole(*args, **inputs)
        output.logits = output.logits * 2
        return output

    monkeypatch.setattr(logits_module, "_separable", {})
    monkeypatch.setattr(policy.model, "forward", doubled)
    # The stand-in names no arguments, so those of the real model are what it accepts.
    monkeypatch.setattr(logits_module, "_accepted", lambda module, inputs: inputs)
    assert not separable(policy.model)
    for got, want in zip(columns(policy, batch, 1.4), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_inner_of_a_peft_model_is_the_transformers_model() -> None:
    policy = tiny()
    before = policy.model
    assert inner(lora(policy).model) is before and inner(before) is before


def test_a_token_that_is_impossible_adds_nothing_to_the_entropy() -> None:
    state_N4 = torch.tensor([[0.0, 0.0, -math.inf, -math.inf]], requires_grad=True)
    _, found_N, _ = score_module._token_scores(state_N4, torch.tensor([0]), lambda x: x, 4, 1.0, entropy=True)
    assert found_N is not None
    assert found_N.item() == pytest.approx(math.log(2))
    found_N.sum().backward()  # type: ignore[no-untyped-call]
    assert state_N4.grad is not None
    assert not state_N4.grad.isnan().any()
