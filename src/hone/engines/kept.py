"""Keys and values of finished requests, kept for requests that go on from them: the next turns of an episode.

Dimensions: R rows that finished together, P prompts, H key-value heads, L columns, D head size.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hone.engines.cache import Indices, SlotCache
from hone.engines.prompts import PastLayer

Tokens = tuple[int, ...]


@dataclass(slots=True)
class _Together:
    """Rows that finished at one step: their columns end together.

    Attributes:
        layers: keys and values [R,H,L,D] of every layer.
        held: ids of requests whose rows are still wanted.
    """

    layers: list[tuple[Tensor, Tensor]]
    held: set[Hashable]

    @property
    def tokens(self) -> int:
        """Columns of all rows, also of those that nobody wants any more: they share the memory."""
        keys = self.layers[0][0]
        return keys.shape[0] * keys.shape[2]


@dataclass(frozen=True, slots=True)
class Past:
    """What is kept of one request: ``tokens`` whose keys and values stand at the end of a row."""

    name: Hashable
    tokens: Tokens
    together: _Together
    row: int

    @property
    def there(self) -> bool:
        """It was not dropped for want of room."""
        return bool(self.together.layers)


class Kept:
    """Finished requests by their id. A request that is gone on from, or not as expected, is dropped."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything: the weights have changed."""
        self._past: dict[Hashable, Past] = {}
        self._together: list[_Together] = []

    @property
    def tokens(self) -> int:
        """Columns that are kept."""
        return sum(group.tokens for group in self._together)

    def add(
        self, cache: SlotCache, rows: Indices, ids: Sequence[Hashable], tokens: Sequence[Tokens], room: int
    ) -> None:
        """Keep rows of the cache, if they fit into ``room`` columns beside or instead of what was kept before.

        Args:
            cache: holds them; they end at its cursor.
            rows: which.
            ids: of their requests.
            tokens: of which keys and values are there.
            room: columns there may be in all.
        """
        width = max(len(each) for each in tokens)
        if width * len(rows) > room:
            return
        self.trim(room - width * len(rows))
        device = cache.mask.device
        first = cache.cursor - width
        column_L = torch.arange(first, cache.cursor, device=device) % cache.length if first < 0 else slice(first, None)
        index_R = torch.from_numpy(rows).to(device)
        first = (cache.cursor - width) % max(cache.length, 1)
        # columns that stand together are copied once; those that go round the end of the buffer, twice
        together = slice(first, first + width) if first + width <= cache.length else None
        column_L = torch.arange(cache.cursor - width, cache.cursor, device=device) % max(cache.length, 1)
        columns = column_L if together is None else together
        layers = [
            (_picked(layer.keys, index_R, columns), _picked(layer.values, index_R, columns)) for layer in cache.layers
        ]
        group = _Together(layers, set(ids))
        for row, (name, each) in enumerate(zip(ids, tokens, strict=True)):
            self.take(name, ())
            self._past[name] = Past(name, each, group, row)
        self._together.append(group)

    def take(self, name: Hashable, prompt: Tokens) -> Past | None:
        """What is kept of the request ``name`` if ``prompt`` goes on from it; to be released when it was used."""
        past = self._past.pop(name, None)
        if past is None:
            return None
        size = len(past.tokens)
        if size < len(prompt) and prompt[:size] == past.tokens:
            return past
        self.release(past)
        return None

    def release(self, past: Past) -> None:
        """Nobody wants this any more."""
        past.together.held.discard(past.name)
        self._together = [group for group in self._together if group.held]

    def trim(self, room: int) -> None:
        """Drop the oldest until at most ``room`` columns are kept."""
        while self._together and self.tokens > max(room, 0):
            gone = self._together.pop(0)
            gone.layers.clear()
            self._past = {name: past for name, past in self._past.items() if past.there}


def past_layers(pasts: Sequence[Past], fresh: Sequence[int], queries: int) -> list[PastLayer]:
    """Layers of a prompt block that begin with what was kept.

    Args:
        pasts: of every prompt.
        fresh: new tokens of every prompt.
        queries: the most of them.
    """
    length = max(len(past.tokens) + new for past, new in zip(pasts, fresh, strict=True))
    alike: dict[tuple[int, int], list[int]] = {}
    for i, (past, new) in enumerate(zip(pasts, fresh, strict=True)):
        alike.setdefault((id(past.together), new), []).append(i)
    device = pasts[0].together.layers[0][0].device
    column_Q = torch.arange(length - queries, length, device=device)
    new_PQ = column_Q >= length - torch.tensor(fresh, device=device)[:, None]
    found = []
    for number, (like, values) in enumerate(pasts[0].together.layers):
        buffers = []
        for which, other in ((0, like), (1, values)):
            buffer = other.new_zeros(len(pasts), other.shape[1], length, other.shape[3])
            for (_, new), members in alike.items():
                source = pasts[members[0]].together.layers[number][which]
                width = min(source.shape[2], length - new)
                rows = torch.tensor([pasts[i].row for i in members], device=device)
                picked = source[:, :, source.shape[2] - width :].index_select(0, rows)
                space = buffer[:, :, length - new - width : length - new]
                if len(members) == len(pasts):
                    space.copy_(picked)
                else:
                    space[torch.tensor(members, device=device)] = picked
            buffers.append(buffer)
        found.append(PastLayer(buffers[0], buffers[1], new_PQ[:, None, :, None]))
    return found


def _picked(buffer: Tensor, index_R: Tensor, columns: Tensor | slice) -> Tensor:
    """[R,H,L,D] of [capacity,H,length,D]."""
    if isinstance(columns, slice):
        return buffer[:, :, columns].index_select(0, index_R)
    return buffer[index_R[:, None], :, columns].transpose(1, 2).contiguous()
