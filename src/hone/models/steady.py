"""Up to which length a row's beginning is computed alike whatever comes after it.

Everything here rests on that: rows are sampled token by token and scored whole, padded to their neighbours. Rotary
frequencies that follow the length of the forward pass (``longrope``, ``dynamic``) and keys chosen among all of a row
break it as soon as a row is long enough, for good reasons of those models and in no layout less than in another.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from hone.core.errors import HoneError

_CHOSEN_KEYS = ("index_topk", "keep_window_size")
"""Settings of how many keys are chosen; shorter rows are attended to whole."""


def steady_length(config: Any) -> int | None:
    """The longest row, in tokens, of which every beginning is computed as it would be alone; None without a limit.

    Args:
        config: of a model of transformers.
    """
    config = config.get_text_config()
    limits = [getattr(config, name, None) for name in _CHOSEN_KEYS]
    rope = getattr(config, "rope_parameters", None) or {}
    for part in (rope, *(part for part in rope.values() if isinstance(part, dict))):
        if part.get("rope_type") in ("dynamic", "longrope"):
            own = part.get("original_max_position_embeddings")
            trained = own or getattr(config, "original_max_position_embeddings", None)
            limits.append(trained or config.max_position_embeddings)
    return min((int(limit) for limit in limits if limit), default=None)


def shortened(limit: int, config: Any) -> int:
    """A context of so many tokens, no longer than :func:`steady_length`."""
    return min(limit, steady_length(config) or limit)


def need_steady(model: nn.Module, length: int) -> None:
    """Refuse rows beyond :func:`steady_length`.

    Raises:
        HoneError: a row of that length would have another log-probability than it was sampled with.
    """
    config: Any = model.config
    limit = steady_length(config)
    if limit is not None and length > limit:
        raise HoneError(
            "what this model computes for the beginning of a row changes with what comes after it",
            where=f"{config.get_text_config().model_type}: rotary frequencies that follow the length, or chosen keys",
            got=f"a row of {length} tokens",
            expected=f"at most {limit}",
            do="shorten the rows",
        )
