"""The attention that models are switched to, against formulas and against the models' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from engine_models import CACHED, VOCABULARY, tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hone.models.attention import NAME, Layer, attending, attention, plain, switchable
from hone.models.checkpointing import checkpoint_activations


def slow(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, scaling: float, softcap: float | None) -> Tensor:
    """One head, one query at a time, over the keys it sees."""
    rows, heads, queries, _ = q.shape
    share = heads // k.shape[1]
    out = torch.zeros(rows, heads, queries, v.shape[-1], dtype=q.dtype)
    for b in range(rows):
        for h in range(heads):
            for i in range(queries):
                scores = (k[b, h // share][seen[b, 0, i]] @ q[b, h, i]) * scaling
                scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
                weights = torch.exp(scores - scores.max())
                out[b, h, i] = (weights / weights.sum()) @ v[b, h // share][seen[b, 0, i]]
    return out


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6),
    groups=st.sampled_from([1, 2]),
    share=st.sampled_from([1, 3]),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(0, 5)),
    softcap=st.sampled_from([None, 0.7]),
    scaling=st.sampled_from([None, 0.3]),
    kind=st.sampled_from(["causal", "bool", "additive"]),
)
def test_attention_and_its_gradient_equal_the_formula(
    seed: int,
    groups: int,
    share: int,
    shape: tuple[int, int, int],
    softcap: float | None,
    scaling: float | None,
    kind: str,
) -> None:
    rows, queries, more = shape
    length = queries if kind == "causal" else queries + more
    noise = torch.Generator().manual_seed(seed)

    def random(heads: int, count: int) -> Tensor:
        return torch.randn(rows, heads, count, 4, generator=noise, dtype=torch.float64).requires_grad_()

    q, k, v = random(groups * share, queries), random(groups, length), random(groups, length)
    seen = torch.rand(rows, 1, queries, length, generator=noise) < 0.6
    seen[..., 0] = True
    if kind == "causal":
        seen = torch.ones(queries, queries).tril().bool().expand(rows, 1, -1, -1)
    mask = {"causal": None, "bool": seen, "additive": torch.zeros(seen.shape).double().masked_fill(~seen, -1e300)}[kind]
    got = attention(q, k, v, mask, causal=kind == "causal", scaling=scaling, softcap=softcap)
    want = slow(q, k, v, seen, 0.5 if scaling is None else scaling, softcap)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    weight = torch.randn(got.shape, generator=noise, dtype=torch.float64)
    for a, b in zip(*(torch.autograd.grad((x * weight).sum(), (q, k, v)) for x in (got, want)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def logits(model: Any, ids: Tensor) -> Tensor:
    found: Tensor = model(input_ids=ids, use_cache=False).logits
    return found


IDS = torch.randint(2, VOCABULARY, (2, 6), generator=torch.Generator().manual_seed(0))
"""As long as the windows of the sliding models, so that causal attention is theirs."""


@pytest.mark.parametrize("name", CACHED)
def test_a_switched_model_computes_what_it_did(name: str) -> None:
    model = tiny(name)
    before = model.config._attn_implementation
    want = logits(model, IDS)
    calls: list[Layer] = []

    def counting(q: Tensor, k: Tensor, v: Tensor, layer: Layer) -> Tensor:
        calls.append(layer)
        return plain(q, k, v, layer)

    assert switchable(model)
    with attending(model, counting):
        got = logits(model, IDS)
    assert len(calls) == 2
    assert [c.window for c in calls] == {"gemma2": [6, None], "mistral": [6, 6]}.get(name, [None, None])
    assert [c.softcap for c in calls] == ([50.0, 50.0] if name == "gemma2" else [None, None])
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    assert model.config._attn_implementation == before


def test_a_model_that_computes_its_attention_itself_is_refused() -> None:
    model = tiny("bloom")
    assert not switchable(model)
    with pytest.raises(NotImplementedError, match="Bloom"), attending(model, plain):
        pass


def scaled(factor: float) -> Any:
    def attend(q: Tensor, k: Tensor, v: Tensor, layer: Layer) -> Tensor:
        return plain(q, k, v, layer) * factor

    return attend


def test_blocks_nest_end_with_an_exception_and_leave_other_models_alone() -> None:
    model, other = tiny("llama"), tiny("llama")
    want, twice = logits(model, IDS), None
    with attending(model, scaled(2.0)):
        twice = logits(model, IDS)
        assert torch.equal(logits(other, IDS), want)
        with attending(other, scaled(3.0)), pytest.raises(ZeroDivisionError), attending(model, plain):
            torch.testing.assert_close(logits(model, IDS), want)
            assert not torch.allclose(logits(other, IDS), want)
            raise ZeroDivisionError
        assert torch.equal(logits(model, IDS), twice)
    assert not torch.allclose(twice, want)
    assert torch.equal(logits(model, IDS), want) and model.config._attn_implementation != NAME


def test_an_adapted_model_is_switched_inside() -> None:
    from hone.models.adapters import apply_lora
    from hone.models.config import LoraConfig

    model = apply_lora(tiny("llama"), LoraConfig(rank=2))
    want = logits(model, IDS)
    with attending(model, scaled(2.0)):
        assert not torch.allclose(logits(model, IDS), want)
    assert torch.equal(logits(model, IDS), want)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_recomputed_layers_use_the_attention_of_the_first_pass(name: str) -> None:
    """Backward runs after the block has ended."""
    gradients = []
    for recompute in (False, True):
        model = tiny(name)
        if recompute:
            checkpoint_activations(model)
            model.train()
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
        with attending(model, scaled(1.5)):
            loss = logits(model, IDS).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_checkpointing_of_another_hand_is_refused() -> None:
    model = tiny("llama")
    model.activation_checkpointing_enable({"use_reentrant": False})
    assert not switchable(model)
    with torch.no_grad():
        assert switchable(model), "nothing will be recomputed"


@pytest.mark.parametrize("asked", [{"s_aux": torch.zeros(4)}, {"dropout": 0.1}, {"is_causal": False}])
def test_what_is_not_computed_is_refused(asked: dict[str, Any]) -> None:
    from transformers import AttentionInterface

    model = tiny("llama")
    x = torch.zeros(1, 4, 3, 8)
    with attending(model, plain), pytest.raises(NotImplementedError, match="attention"):
        AttentionInterface()[NAME](model.model.layers[0].self_attn, x, x, x, None, **asked)
