"""Prompts that are run together: their keys and values, before they go to rows of the slot cache.

Dimensions: P prompts, H key-value heads, L columns, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin


class _Block(CacheLayerMixin):  # type: ignore[misc]
    """One layer of a prompt block: keeps the keys and values of one forward pass."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: object) -> tuple[Tensor, Tensor]:
        # Rotary embeddings can leave keys wider than values under autocast; attention would round them at every step.
        self.keys, self.values, self.is_initialized = key_states.to(value_states.dtype), value_states, True
        return key_states, value_states

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1


class PastLayer(_Block):
    """One layer of a prompt block whose prompts begin with what was kept of earlier requests.

    Args:
        keys: [P,H,L,D], every prompt ending at the last column and its new tokens still missing.
        values: the same.
        new: [P,1,Q,1] bool, which of the last Q columns are new.
    """

    def __init__(self, keys: Tensor, values: Tensor, new: Tensor) -> None:
        super().__init__()
        self.keys, self.values, self.new, self.is_initialized = keys, values, new, True

    def update(self, key_states: Tensor, value_states: Tensor, *args: object) -> tuple[Tensor, Tensor]:
        """Write the new columns [P,H,Q,D]; all columns."""
        for buffer, states in ((self.keys, key_states), (self.values, value_states)):
            last = buffer[:, :, -states.shape[2] :]
            last.copy_(torch.where(self.new, states.to(buffer.dtype), last))
        return self.keys, self.values


class PromptBlock(Cache):  # type: ignore[misc]
    """Keys and values [P,H,L,D] of prompts that were prefilled together, padded on the left.

    Args:
        layers: with what was kept; None for prompts that are run from their beginning.
    """

    def __init__(self, layers: Sequence[PastLayer] | None = None) -> None:
        if layers is None:
            super().__init__(layer_class_to_replicate=_Block)
        else:
            super().__init__(layers=list(layers))
