"""Prompts that are run together: their keys and values, before they go to rows of the slot cache.

Dimensions: P prompts, H key-value heads, L columns, D head size.
"""

from __future__ import annotations

from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin


class _Block(CacheLayerMixin):  # type: ignore[misc]
    """One layer of a prompt block: what was kept before and the keys and values of one forward pass."""

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


class PromptBlock(Cache):  # type: ignore[misc]
    """Keys and values [P,H,L,D] of prompts that were prefilled together, padded on the left."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=_Block)
