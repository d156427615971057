"""Attention masks in the form a model takes: for architectures whose attention cannot be replaced.

Dimensions: N rows, Q query columns, L key columns.

transformers hands a 4-D mask through to the attention layers unchanged. Models whose layers differ take one
mask per layer type, in a dictionary; a model with one sliding window over all layers takes that window's
mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from hone.engines.attend import Attention
from hone.models.windows import KINDS


@dataclass(frozen=True)
class MaskForm:
    """How a model wants its mask.

    Attributes:
        types: the layer types it needs masks for.
        mapping: hand over ``{type: mask}`` instead of one mask.
        window: width of the sliding window; a query sees the ``window`` newest tokens, itself included.
    """

    types: tuple[str, ...]
    mapping: bool = False
    window: int | None = None

    def build(self, attend: Attention, dtype: torch.dtype) -> Any:
        """The masks of one pass, [N,1,Q,L] in ``dtype``: one, or one per layer type."""
        masks = {}
        for kind in self.types:
            mask = attend.mask(self.window if kind == "sliding_attention" else None)
            masks[kind] = mask.clamp(min=torch.finfo(dtype).min).to(dtype)
        return masks if self.mapping else masks[self.types[0]]


def text_config(model: Any) -> Any:
    """The configuration of a model's language part."""
    return model.config.get_text_config()


def candidates(config: Any, max_length: int | None) -> list[MaskForm]:
    """The mask forms a model may take, likeliest first; none where its layers are of an unknown kind.

    Args:
        config: of the language model.
        max_length: the longest row there will be; a full mask passes for a sliding one only up to the window.
    """
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        types = tuple(sorted(set(kinds)))
        if not set(types) <= KINDS or ("sliding_attention" in types and window is None):
            return []
        forms = [MaskForm(types, mapping=len(types) > 1, window=window)]
        return forms if len(types) > 1 else [*forms, MaskForm(types, mapping=True, window=window)]
    full = MaskForm(("full_attention",))
    if window is None:
        return [full]
    sliding = MaskForm(("sliding_attention",), window=window)
    return [sliding, full] if max_length is not None and max_length <= window else [sliding]
