"""Attention in pieces against one softmax over the tokens a token sees."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hone.models.attention import Layer
from hone.models.flat import Flat, flat_of
from hone.models.tree_attention import attend_flat


@st.composite
def texts(draw: st.DrawFn) -> list[list[int]]:
    """Rows with openings in common, short and long."""
    noise = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))

    def some(count: int) -> list[int]:
        return torch.randint(0, 3, (count,), generator=noise).tolist()

    rows: list[list[int]] = []
    for _ in range(draw(st.integers(1, 4))):
        opening = some(draw(st.integers(0, 40)))
        rows += [opening + some(draw(st.integers(0, 12))) for _ in range(draw(st.integers(1, 5)))]
    return rows if any(rows) else [[1]]


def flat_from(rows: list[list[int]], *, share: bool, together: int) -> Flat:
    width = max(len(row) for row in rows)
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return flat_of(tokens, torch.tensor([len(row) for row in rows]), share=share, together=together)


def dense(q: Tensor, k: Tensor, v: Tensor, rows: list[list[int]], flat: Flat, layer: Layer) -> Tensor:
    """[1,N,H,D]: every token over its own row up to itself, from whichever row it stands in."""
    seen = torch.zeros(len(flat), len(flat), dtype=torch.bool)
    for b, row in enumerate(rows):
        for t in range(len(row)):
            first = 0 if layer.window is None else max(0, t - layer.window + 1)
            seen[flat.index[b, t], flat.index[b, first : t + 1]] = True
    share = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(share, 1).transpose(-1, -2) * (layer.scaling or q.shape[-1] ** -0.5)
    scores = scores if layer.softcap is None else torch.tanh(scores / layer.softcap) * layer.softcap
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return (weights @ v.repeat_interleave(share, 1)).transpose(1, 2)


@settings(deadline=None, max_examples=60)
@given(
    rows=texts(),
    share=st.booleans(),
    together=st.sampled_from([1, 8, 64]),
    groups=st.sampled_from([1, 2]),
    layer=st.sampled_from(
        [Layer(), Layer(window=3), Layer(softcap=0.6), Layer(scaling=0.3), Layer(softcap=2.0, window=11)]
    ),
    seed=st.integers(0, 100),
)
def test_pieces_and_their_gradients_equal_the_whole(
    rows: list[list[int]], share: bool, together: int, groups: int, layer: Layer, seed: int
) -> None:
    flat = flat_from(rows, share=share, together=together)
    noise = torch.Generator().manual_seed(seed)
    q, k, v = (
        # large scores: an unused place must not overflow
        torch.randn(1, len(flat), heads, 4, generator=noise, dtype=torch.float64)
        .mul(scale)
        .transpose(1, 2)
        .requires_grad_()
        for heads, scale in ((2, 3.0), (groups, 3.0), (groups, 1.0))
    )
    got, want = attend_flat(flat)(q, k, v, layer), dense(q, k, v, rows, flat, layer)
    torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-7)
    weight = torch.randn(got.shape, generator=noise, dtype=torch.float64)
    for a, b in zip(*(torch.autograd.grad((x * weight).sum(), (q, k, v)) for x in (got, want)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("together", [1, 64])
def test_a_short_prompt_with_many_answers_is_seen_from_afar_or_in_one_piece(together: int) -> None:
    flat = flat_from([[5] * 8 + [i] * 3 for i in range(6)], share=True, together=together)
    assert len(flat) == 8 + 6 * 3
    shapes = [[(tuple(p.query.shape), tuple(p.key.shape), p.causal) for p in level.pieces] for level in flat.levels]
    if together == 64:
        assert shapes == [[((1, 26), (1, 26), False)]]
    else:
        assert shapes == [[((6, 3), (6, 3), True), ((1, 8), (1, 8), True)], [((1, 18), (1, 8), False)]]
