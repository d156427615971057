"""Attention over the slot cache and over prompt blocks: what the layers of a model call while the engine runs it.

Dimensions: N rows, H query heads, G key-value heads, Q queries, L columns, D head size.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hone.engines.cache import DEAD, SlotCache
from hone.models.attention import Layer, attention


class Attention(Protocol):
    """What a layer calls, and the same thing as a mask."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        """See :data:`hone.models.attention.Attend`."""

    def mask(self, window: int | None) -> Tensor:
        """Additive, four-dimensional."""


class StepAttention:
    """One decoding step: every row's newest token attends to its own columns, block by block of rows.

    Args:
        cache: with room made for this step.
    """

    def __init__(self, cache: SlotCache) -> None:
        self.cache = cache
        self.parts = []
        for block in cache.blocks():
            columns, masked = cache.columns(block)
            self.parts.append((block.rows, columns, cache.mask[block.rows, columns] if masked else None))
        self._windows: dict[int, list[Tensor]] = {}

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        """[N,1,H,D] from query [N,H,1,D] and the cache's buffers [N,G,length,D]."""
        rows, heads, _, width = query.shape
        factor = width**-0.5 if layer.scaling is None else layer.scaling
        query_NGHD = (query if factor == 1 else query * factor).to(value.dtype).view(rows, key.shape[1], -1, width)
        found = []
        for number, (where, columns, mask) in enumerate(self.parts):
            if layer.window is not None:
                mask = self._window(layer.window)[number]
            score = query_NGHD[where] @ key[where, :, columns].transpose(2, 3)
            if layer.softcap is not None:
                score = torch.tanh(score / layer.softcap) * layer.softcap
            if mask is not None:
                score = score + mask[:, None, None]
            weight = _softmax(score.float()).to(value.dtype)
            found.append(weight @ value[where, :, columns])
        out = found[0] if len(found) == 1 else torch.cat(found)
        return out.view(rows, 1, heads, value.shape[-1])

    def mask(self, window: int | None) -> Tensor:
        """[N,1,1,length] additive, over all columns: for models that take their mask from outside."""
        rows = self.cache.rows
        if window is None:
            return self.cache.mask[:rows, None, None]
        return torch.minimum(self.cache.mask[:rows], self._gone(window))[:, None, None]

    def _window(self, window: int) -> list[Tensor]:
        """The masks of a sliding window: a column is dead too when ``window`` newer ones are there."""
        if window not in self._windows:
            gone_L, mask = self._gone(window), self.cache.mask
            self._windows[window] = [
                torch.minimum(mask[rows, columns], gone_L[columns]) for rows, columns, _ in self.parts
            ]
        return self._windows[window]

    def _gone(self, window: int) -> Tensor:
        cache = self.cache
        age_L = (cache.cursor - torch.arange(cache.length, device=cache.mask.device)) % cache.length
        return torch.where(age_L >= window, DEAD, 0.0)


def _softmax(score: Tensor) -> Tensor:
    """Over the last dimension; torch's own takes ten times as long where that is shorter than a vector register."""
    if score.shape[-1] >= 16:
        return score.softmax(-1)
    weight = torch.exp(score - score.amax(-1, keepdim=True))
    return weight / weight.sum(-1, keepdim=True)


class PromptAttention:
    """Prompts that end together: query q of the last Q columns sees the row's own columns up to its own.

    Args:
        start: [P] each row's first live column.
        queries: Q.
        length: L, columns of the keys.
    """

    def __init__(self, start: Tensor, queries: int, length: int) -> None:
        self.key_L = torch.arange(length, device=start.device)
        self.query_Q1 = self.key_L[length - queries :, None]
        seen = (self.key_L >= start[:, None])[:, None, None, :] & (self.key_L <= self.query_Q1)
        # A padding query sees itself: a row without any visible key would be NaN, and NaN spreads.
        self.seen = seen | (self.key_L == self.query_Q1)
        self.even = not bool((start > 0).any()) and queries == length
        self._windows: dict[int, Tensor] = {}

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        """[P,Q,H,D] from query [P,H,Q,D], keys and values [P,G,L,D]."""
        query = query.to(value.dtype)
        if layer.window is None or layer.window >= len(self.key_L):
            mask, causal = (None, True) if self.even else (self.seen, False)
        else:
            mask, causal = self._window(layer.window), False
        key = key.to(value.dtype)
        found = attention(query, key, value, mask, causal=causal, scaling=layer.scaling, softcap=layer.softcap)
        return found.transpose(1, 2)

    def mask(self, window: int | None) -> Tensor:
        """[P,1,Q,L] additive: for models that take their mask from outside."""
        seen = self.seen if window is None else self._window(window)
        return torch.where(seen, 0.0, DEAD)

    def _window(self, window: int) -> Tensor:
        if window not in self._windows:
            self._windows[window] = self.seen & (self.query_Q1 - self.key_L < window)
        return self._windows[window]
