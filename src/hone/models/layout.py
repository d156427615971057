"""How the rows of a batch are laid out for a forward pass, and which layouts a model can be trusted with.

``padded`` is the reference. ``packed`` computes every real token once, without padding; ``tree`` also computes equal
beginnings of rows once, such as the prompt of a group. Their attention is computed here, so a model must let it be
replaced, and must then give what it gives on rows of their own: that is found out by comparing.

Dimensions: B rows, T positions, N distinct tokens, D width.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hone.core.errors import HoneError
from hone.core.seeding import generator
from hone.models.attention import attending, switchable
from hone.models.config import Layout
from hone.models.flat import Flat, flat_of
from hone.models.logits import Forward, forward, inner, run, takes_positions
from hone.models.steady import need_steady
from hone.models.tree_attention import attend_flat
from hone.models.windows import narrowed, unknown_limit

log = logging.getLogger(__name__)

PAYS = 0.9
"""``auto`` leaves the padded layout if at most this share of its tokens is left."""


def run_rows(model: nn.Module, tokens_BT: Tensor, length_B: Tensor, layout: Layout) -> tuple[Forward, Tensor]:
    """One pass over the first ``length_B`` tokens of every row.

    Returns:
        The pass, and where the state after each token [B,T'] stands in it, its rows joined; T' is the longest length.

    Raises:
        HoneError: as :func:`flat_layout`; or a row is too long for a model whose beginnings of rows depend on what
            follows (:mod:`hone.models.steady`).
    """
    width = max(int(length_B.max()), 1) if len(length_B) else 1
    need_steady(inner(model), width)
    tokens_BT = tokens_BT[:, :width]
    flat = flat_layout(model, tokens_BT, length_B, layout)
    if flat is not None:
        return run_flat(model, flat), flat.index
    index_BT = torch.arange(len(tokens_BT) * width, device=tokens_BT.device).reshape(-1, width)
    return forward(model, tokens_BT), index_BT


def flat_layout(model: nn.Module, tokens_BT: Tensor, length_B: Tensor, layout: Layout) -> Flat | None:
    """The flat layout of the first ``length_B`` tokens of every row; None for the padded one.

    Raises:
        HoneError: ``layout`` insists on a layout that this model cannot be trusted with.
    """
    if not computes_flat(model, layout):
        return None
    flat = flat_of(tokens_BT, length_B, share=layout != "packed")
    return None if layout == "auto" and len(flat) > PAYS * tokens_BT.numel() else flat


def computes_flat(model: nn.Module, layout: Layout) -> bool:
    """Whether padding and shared beginnings cost nothing, as far as this model and the wish are concerned."""
    return layout != "padded" and not (layout == "auto" and _unfused(model)) and _usable(model, layout)


def _unfused(model: nn.Module) -> bool:
    """Whether the pieces' attention would be plain tensor operations while the padded one has a kernel."""
    return str(inner(model).get_input_embeddings().weight.device.type) != "cpu"


def run_flat(model: nn.Module, flat: Flat) -> Forward:
    """Run the body of a model over the distinct tokens; hidden states are [1,N,D]."""
    with attending(model, attend_flat(flat)):
        return run(model, {"input_ids": flat.tokens[None], "position_ids": flat.position[None], "use_cache": False})


_reasons: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def _usable(model: nn.Module, layout: Layout) -> bool:
    reason = unusable(model)
    if reason and layout != "auto":
        raise HoneError(
            "this model cannot be computed in that layout",
            where="layout",
            got=f'"{layout}"',
            expected='"auto" or "padded"',
            do=f"{type(inner(model)).__name__}: {reason}",
        )
    return not reason


def unusable(model: nn.Module) -> str:
    """Why the model is only computed padded; "" if nothing speaks against the other layouts. Tried once per model."""
    base = inner(model)
    if not switchable(model):
        return "its attention cannot be replaced"
    if base not in _reasons:
        device = base.get_input_embeddings().weight.device
        with torch.no_grad(), torch.autocast(device.type, enabled=False), _evaluating(base):
            _reasons[base] = _try(base, device)
        if _reasons[base]:
            log.warning("%s is computed with padding: %s", type(base).__name__, _reasons[base])
    return _reasons[base]


def _try(base: Any, device: torch.device) -> str:
    if not takes_positions(base):
        return "it does not take positions"
    if limit := unknown_limit(base):
        return limit
    try:
        with narrowed(base):
            error = difference(base, device)
    except Exception as fault:  # an architecture may refuse in any way it likes
        return f"{type(fault).__name__}: {fault}"
    weights = base.get_input_embeddings().weight.dtype
    tolerance = 1e-4 if weights in (torch.float32, torch.float64) else 5e-2
    return "" if error <= tolerance else f"hidden states differ by {error:.1e} of their spread"


def difference(base: Any, device: torch.device) -> float:
    """``‖flat − alone‖ / ‖alone − its mean‖`` over the hidden states of rows with and without common beginnings.

    The other side runs each row alone, without padding.
    """
    draw = generator("layout self-check")
    many = int(base.get_input_embeddings().weight.shape[0])

    def some(count: int) -> list[int]:
        return [int(i) for i in draw.integers(0, many, count)]

    opening = some(7)
    rows = [opening + some(6), opening + some(3), some(9), opening + some(8), some(1)]
    width = max(len(row) for row in rows)
    tokens_BT = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
    length_B = torch.tensor([len(row) for row in rows])
    flats = [flat_of(tokens_BT, length_B, share=True, together=together) for together in (4, 64)]
    got = [run_flat(base, flat).states[0].float() for flat in flats]
    error = spread = 0.0
    for number, row in enumerate(rows):
        ids_1T = torch.tensor([row], device=device)
        want_TD = forward(base, ids_1T).states[0].float()
        for flat, states_ND in zip(flats, got, strict=True):
            error += float((states_ND[flat.index[number, : len(row)]] - want_TD).square().sum())
            spread += float((want_TD - want_TD.mean()).square().sum())
    return (error / spread) ** 0.5 if spread > 0 else float("inf")


@contextmanager
def _evaluating(base: Any) -> Iterator[None]:
    training = [module for module in base.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
