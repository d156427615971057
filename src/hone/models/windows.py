"""Which tokens a model's layers see: the kinds known here, and their windows narrowed so that a short check meets them.

A comparison of a dozen tokens says nothing of a limit that begins later. So a window must be narrowed for the check,
and a model with a limit that is not known here cannot be trusted with attention of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

KINDS = frozenset({"full_attention", "sliding_attention"})
"""The layer types whose masks are known."""

_WINDOW = 4
"""Sliding windows are narrowed to this, so that a dozen tokens run past them."""
_LIMIT = re.compile(r"(^|_)(window|chunk)s?(_|$)|^local_attention|^attention_(types|layers)$|^index_topk")
"""Names of settings that limit what a token sees."""
_KNOWN = frozenset(
    {
        "sliding_window",
        "use_sliding_window",
        "max_window_layers",
        "sliding_window_pattern",
        "chunk_size_feed_forward",
    }
)
"""Settings of that form which say what ``sliding_window`` and ``layer_types`` say, or nothing about attention."""


def unknown_limit(model: nn.Module) -> str:
    """Why attention of ours may leave out a limit of this model that a short comparison does not meet; "" if none."""
    config = _text(model)
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds <= KINDS:
        return f"its layers are of other kinds than full and sliding attention ({', '.join(sorted(kinds - KINDS))})"
    limits = sorted(name for name, value in config.to_dict().items() if value and _limits(name))
    return f"its configuration limits what a token sees in another way ({', '.join(limits)})" if limits else ""


def _limits(name: str) -> bool:
    return name.lstrip("_") not in _KNOWN and _LIMIT.search(name) is not None


@contextmanager
def narrowed(model: nn.Module) -> Iterator[None]:
    """Narrow the model's sliding windows for a while, in its configurations and wherever a layer keeps its own."""
    configs = [_text(model), *(getattr(module, "config", None) for module in model.modules())]
    holders: list[Any] = list({id(holder): holder for holder in [*configs, *model.modules()]}.values())
    before = [(holder, getattr(holder, "sliding_window", None)) for holder in holders]
    found = [(holder, window) for holder, window in before if isinstance(window, int) and window > 0]
    try:
        for holder, window in found:
            holder.sliding_window = min(window, _WINDOW)
        yield
    finally:
        for holder, window in found:
            holder.sliding_window = window


def _text(model: Any) -> Any:
    return model.config.get_text_config()
