"""The choice of the forward path: by agreement of logits, not by name."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from engine_models import CACHED, END, prompts, tiny

from hone.engines.base import Request, Sampling
from hone.engines.check import choose, difference
from hone.engines.embedded import EmbeddedEngine
from hone.engines.masks import MaskForm, candidates, text_config


def mode_of(model: Any, max_length: int = 96) -> str:
    with torch.no_grad():
        return choose(model, pad_id=0, slots=4, max_length=max_length).mode


@pytest.mark.parametrize("name", CACHED)
def test_the_cached_path_agrees_to_rounding(name: str) -> None:
    model = tiny(name)
    form = candidates(text_config(model), 96)[0]
    with torch.no_grad():
        choice = choose(model, pad_id=0, slots=4, max_length=96)
        assert choice.guard is torch.inference_mode
        assert choice.mode == "cached"
        if form.window is None:
            assert difference(model, form, 0) < 1e-5
    assert text_config(model).to_dict().get("sliding_window") in (None, 6)


def test_positions_that_come_from_elsewhere_fall_back(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert mode_of(tiny("bloom")) == "reference"
    assert "BloomForCausalLM" in caplog.text


def test_a_model_that_ignores_our_positions_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny("llama")
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
    full, sliding = MaskForm(("full_attention",)), MaskForm(("sliding_attention",), window=4)
    with torch.no_grad():
        assert difference(model, full, 0) > 1e-2
        assert difference(model, sliding, 0) < 1e-5
        assert difference(model, MaskForm(("sliding_attention",), window=5), 0) > 1e-3


def test_frequencies_that_follow_the_length_fall_back_only_beyond_the_trained_length() -> None:
    model = tiny("llama")
    model.config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    assert mode_of(model, max_length=96) == "cached"
    assert mode_of(model, max_length=97) == "reference"


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
def test_masks_equal_a_loop(window: int | None) -> None:
    start, first, cursor, queries = [2, 0, 4], 0, 6, 3
    kind = "sliding_attention" if window else "full_attention"
    mask = MaskForm((kind,), window=window).build(torch.tensor(start), first, cursor, queries, torch.float32)
    for row, s in enumerate(start):
        for q, query in enumerate(range(4, 7)):
            for key in range(7):
                visible = s <= key <= query and (window is None or query - key < window)
                assert (float(mask[row, 0, q, key]) == 0.0) == (visible or key == query)
