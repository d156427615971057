"""The choice of the forward path: by agreement of logits, not by name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from engine_models import CACHED, END, full_logprobs, prompts, tiny
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    Llama4ForCausalLM,
    Llama4TextConfig,
)

from hone.engines.attend import PromptAttention, StepAttention
from hone.engines.base import Request, Sampling
from hone.engines.bodies import AttendingBody, Body, MaskedBody
from hone.engines.cache import SlotCache
from hone.engines.check import choose, difference
from hone.engines.embedded import EmbeddedEngine
from hone.engines.forward import CachedForward
from hone.engines.fused import FusedBody
from hone.engines.kept import past_layers
from hone.engines.masks import MaskForm, candidates, text_config
from hone.engines.prompts import PromptBlock
from hone.models.attention import Layer
from hone.models.layout import unusable
from hone.models.windows import narrowed, unknown_limit


def mode_of(model: Any, max_length: int = 96) -> str:
    with torch.no_grad():
        return choose(model, pad_id=0, max_length=max_length).mode


BODIES = {
    "fused": ("llama", "qwen2", "mistral"),
    "attending": ("llama", "qwen2", "gemma2", "mistral", "gpt_neox", "gpt2"),
    "masked": ("llama", "qwen2", "gemma2", "mistral", "gpt_neox", "gpt2"),
}


def body_of(kind: str, model: Any) -> Body:
    if kind == "fused":
        return FusedBody(model, torch.float32, 96)
    if kind == "attending":
        return AttendingBody(model)
    return MaskedBody(model, candidates(text_config(model), 96)[0])


def error_of(kind: str, model: Any) -> float:
    with torch.no_grad(), narrowed(model):
        cached = CachedForward(body_of(kind, model), device=torch.device("cpu"), pad_id=0)
        return difference(model, cached)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in BODIES.items() for name in names])
def test_every_cached_path_agrees_to_rounding(kind: str, name: str) -> None:
    model = tiny(name)
    assert error_of(kind, model) < 1e-5
    assert text_config(model).to_dict().get("sliding_window") in (None, 6)


@pytest.mark.parametrize("name", CACHED)
def test_the_fastest_path_that_agrees_is_chosen(name: str) -> None:
    with torch.no_grad():
        choice = choose(tiny(name), pad_id=0, max_length=96)
    assert choice.guard is torch.inference_mode and choice.mode == "cached"
    assert isinstance(choice.forward, CachedForward)
    assert type(choice.forward.body) is (FusedBody if name in BODIES["fused"] else AttendingBody)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.model.layers[1].self_attn.q_proj.weight.data.mul_(1.01),
        lambda model: setattr(model.model.layers[1].self_attn, "scaling", 0.3),
        lambda model: setattr(model.model.norm, "variance_epsilon", 0.1),
    ],
)
def test_a_fused_copy_that_is_not_the_model_is_found_out(change: Callable[[Any], object]) -> None:
    """Stale weights, another scale of the attention, another norm: any of them shows in the logits."""
    model = tiny("qwen2")
    with torch.no_grad():
        cached = CachedForward(FusedBody(model, torch.float32, 96), device=torch.device("cpu"), pad_id=0)
        assert difference(model, cached) < 1e-5
        change(model)
        assert difference(model, cached) > 1e-3
        cached.refresh()
    if model.model.norm.variance_epsilon != 0.1:
        with torch.no_grad():
            assert difference(model, cached) < 1e-5, "refreshing reads everything again"


@pytest.mark.parametrize("kind", ["fused", "attending", "masked"])
def test_a_body_that_is_wrong_only_when_it_goes_on_from_a_kept_row_is_found_out(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, used = tiny("llama"), []
    make = past_layers

    def shifted(*args: Any) -> Any:
        used.append(args)
        layers = make(*args)
        for layer in layers:
            layer.values.mul_(1.5)
        return layers

    monkeypatch.setattr("hone.engines.forward.past_layers", shifted)
    assert error_of(kind, model) > 1e-3 and len(used) == 1


def test_a_model_that_only_has_the_names_of_llama_is_not_fused() -> None:
    model = tiny("llama")
    attention = model.model.layers[0].self_attn
    forward = attention.forward

    def louder(*args: Any, **kwargs: Any) -> Any:
        out, weights = forward(*args, **kwargs)
        return out * 1.1, weights

    attention.forward = louder
    with torch.no_grad():
        choice = choose(model, pad_id=0, max_length=96)
    assert isinstance(choice.forward, CachedForward) and type(choice.forward.body) is AttendingBody


def test_positions_that_come_from_elsewhere_fall_back(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert mode_of(tiny("bloom")) == "reference"
    assert "BloomForCausalLM" in caplog.text


SHAPE = {"vocab_size": 64, "hidden_size": 32, "max_position_embeddings": 128}
LIMITED = {
    "gpt_neo": lambda: GPTNeoForCausalLM(
        GPTNeoConfig(**SHAPE, num_layers=2, num_heads=2, window_size=32, attention_types=[[["global", "local"], 1]])
    ),
    "llama4": lambda: Llama4ForCausalLM(
        Llama4TextConfig(
            **SHAPE,
            intermediate_size=48,
            intermediate_size_mlp=48,
            num_hidden_layers=4,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            num_local_experts=2,
            num_experts_per_tok=1,
            attention_chunk_size=24,
            pad_token_id=0,
        )
    ),
}


@pytest.mark.parametrize("name", LIMITED)
def test_limits_that_the_short_check_would_not_meet_fall_back(name: str) -> None:
    """Local layers and chunks beyond the check's dozen tokens: the engine's log-probabilities are the model's."""
    torch.manual_seed(0)
    model = LIMITED[name]().eval()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.mul_(4)
    engine = EmbeddedEngine(model, None, pad_id=0, end_ids=frozenset(), max_length=128)
    request = Request(0, tuple(range(3, 11)), Sampling(max_tokens=50), 1)
    [completion] = engine.generate([request])
    assert completion.logprobs == pytest.approx(full_logprobs(model, request.prompt, completion.tokens), abs=1e-4)
    assert engine.mode == "reference" and unusable(model)


def test_a_pattern_that_layer_types_spell_out_is_no_other_limit() -> None:
    config = Gemma3TextConfig(**SHAPE, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16)
    assert "_sliding_window_pattern" in config.to_dict()
    assert unknown_limit(Gemma3ForCausalLM(config)) == ""


def test_windows_are_narrowed_wherever_they_are_held_and_put_back() -> None:
    model = tiny("mistral")
    layer = model.model.layers[1].self_attn
    layer.sliding_window = 9
    with narrowed(model):
        assert (text_config(model).sliding_window, layer.sliding_window) == (4, 4)
    assert (text_config(model).sliding_window, layer.sliding_window) == (6, 9)


def test_a_model_that_ignores_our_positions_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny("gpt_neox")
    forward = model.forward

    def deaf(*args: Any, position_ids: Any = None, **kwargs: Any) -> Any:
        ids = kwargs["input_ids"]
        return forward(*args, position_ids=torch.zeros_like(ids) + torch.arange(ids.shape[1]), **kwargs)

    model.forward = deaf
    assert mode_of(model) == "reference"
    assert "logits differ" in caplog.text


def test_a_full_mask_does_not_pass_for_a_sliding_one() -> None:
    model = tiny("mistral")
    model.config.sliding_window = 4
    forms = [MaskForm(("full_attention",)), *(MaskForm(("sliding_attention",), window=w) for w in (4, 5))]
    with torch.no_grad():
        full, right, wide = (
            difference(model, CachedForward(MaskedBody(model, form), device=torch.device("cpu"), pad_id=0))
            for form in forms
        )
    assert full > 1e-2 and right < 1e-5 and wide > 1e-3


@pytest.mark.parametrize("asked", [None, 10, 500])
def test_frequencies_that_follow_the_length_end_the_context_where_they_would_change(asked: int | None) -> None:
    model = tiny("llama")
    model.config.rope_parameters = {
        "rope_type": "dynamic",
        "factor": 2.0,
        "rope_theta": 10_000.0,
        "original_max_position_embeddings": 40,
    }
    engine = EmbeddedEngine(model, None, pad_id=0, end_ids=frozenset(), max_length=asked)
    assert (engine.mode, engine.max_length) == ("cached", 10 if asked == 10 else 40)


def test_a_model_that_keeps_tensors_of_its_forward_runs_without_inference_mode() -> None:
    model = tiny("llama")
    norm = model.model.norm
    forward = norm.forward

    def keeping(hidden: torch.Tensor) -> Any:
        norm.last = hidden * 1.0
        return forward(hidden)

    norm.forward = keeping
    engine = EmbeddedEngine(model, None, pad_id=0, end_ids=frozenset({END}))
    engine.generate([Request(0, prompts(1)[0], Sampling(max_tokens=3), 0)])
    assert engine.mode == "cached"
    assert not norm.last.is_inference()


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("capped", [None, 0.7])
def test_attention_of_prompts_and_steps_equals_a_loop(window: int | None, capped: float | None) -> None:
    """Grouped heads, ragged rows, a ring that has wrapped: against sums written out."""
    torch.manual_seed(0)
    heads, groups, size, length = 4, 2, 8, 8
    layer = Layer(softcap=capped, window=window)

    def by_hand(query_HD: torch.Tensor, key_GLD: torch.Tensor, value_GLD: torch.Tensor) -> torch.Tensor:
        if window is not None:
            key_GLD, value_GLD = key_GLD[:, -window:], value_GLD[:, -window:]
        found = []
        for head in range(heads):
            score = key_GLD[head // 2] @ query_HD[head] / size**0.5
            score = score if capped is None else torch.tanh(score / capped) * capped
            found.append(score.exp() / score.exp().sum() @ value_GLD[head // 2])
        return torch.stack(found)

    widths = [4, 6, 1]
    block, start = PromptBlock(), torch.tensor([6 - w for w in widths])
    key, value = torch.randn(2, 3, groups, 6, size)
    query = torch.randn(3, heads, 6, size)
    found = PromptAttention(start, 6, 6)(query, key, value, layer)
    for row, w in enumerate(widths):
        for at in range(6 - w, 6):
            own = slice(6 - w, at + 1)
            want = by_hand(query[row, :, at], key[row, :, own], value[row, :, own])
            assert torch.allclose(found[row, at], want, atol=1e-5)

    block.update(key, value, 0)
    cache = SlotCache()
    source = cache.order(np.zeros(0, dtype=np.int64), widths)
    cache.arrange(source, widths)
    cache.place(np.arange(3), block, -1 - source, np.array(widths)[-1 - source], length)
    rows = [(key[i, :, 6 - widths[i] :], value[i, :, 6 - widths[i] :]) for i in (-1 - source).tolist()]
    for _ in range(4):
        cache.make_room(8)
        one, two = torch.randn(2, cache.rows, groups, 1, size)
        rows = [(torch.cat([k, a], 1), torch.cat([v, b], 1)) for (k, v), a, b in zip(rows, one, two, strict=True)]
        query = torch.randn(cache.rows, heads, 1, size)
        attend = StepAttention(cache)
        keys, values = cache.update(one, two, 0)
        got = attend(query, keys, values, layer)
        mask = attend.mask(window)
        assert mask.shape == (cache.rows, 1, 1, cache.length)
        for i, (k, v) in enumerate(rows):
            assert torch.allclose(got[i, 0], by_hand(query[i, :, 0], k, v), atol=1e-5)
            assert int((mask[i] == 0).sum()) == min(k.shape[1], window or 99)
        cache.advance()
        if len(rows) > 2:  # the widest leaves, and the ring wraps around without growing
            keep = np.flatnonzero(cache.widths() < 7)
            source = cache.order(keep, [])
            cache.arrange(source, [])
            rows = [rows[s] for s in source.tolist()]
    assert cache.length == 8 < cache.cursor, "the columns have wrapped around"
