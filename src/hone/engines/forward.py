"""Next-token logits for rows that join, grow and leave: from the slot cache, or by running whole rows again.

Dimensions: N rows in use, R rows that join, P distinct prompts, L columns, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hone.engines.attend import PromptAttention, StepAttention
from hone.engines.bodies import Body, device_of
from hone.engines.cache import Indices, SlotCache
from hone.engines.kept import Kept, Past, past_layers
from hone.engines.prompts import PromptBlock

Prompt = tuple[int, ...]

_BLOCK_TOKENS = 2048
"""Prompts are prefilled together up to this many padded tokens (or one prompt, if that is longer)."""
_BLOCK_COLUMNS = 16_384
"""The most columns of a block, what was kept of earlier turns included."""
_REFERENCE_TOKENS = 16_384
"""The reference path runs at most this many padded tokens at once."""


class Forward(Protocol):
    """Rows 0..N-1, put in order by :meth:`arrange` whenever some join or leave."""

    def arrange(self, keep: Indices, prompts: Sequence[Prompt]) -> Indices:
        """Drop all rows but ``keep`` and make places for prompts.

        Args:
            keep: rows that stay, ascending.
            prompts: of those that join; equal ones stand next to each other.

        Returns:
            What stands at each of the new positions: an old row, or ``-1 - i`` for the i-th prompt.
        """

    def add(self, rows: Indices, prompts: Sequence[Prompt], upcoming: Iterable[Prompt], longest: int) -> Tensor:
        """Fill the places made for prompts; logits [R,V] float32.

        Args:
            rows: where each of them goes.
            prompts: those :meth:`arrange` was given.
            upcoming: the distinct prompts still waiting, in the order in which they will come.
            longest: prompt and token limit of the longest request in flight.
        """

    def step(self, tokens: NDArray[np.int64], longest: int) -> Tensor:
        """Append one token to every row; logits [N,V] float32."""

    def session(self) -> AbstractContextManager[object]:
        """What must hold around the other calls."""

    def keep(self, rows: Indices, ids: Sequence[Hashable], tokens: Sequence[Prompt], room: int) -> None:
        """Keep what is known of finished rows, for requests of the same id that go on from them.

        Args:
            rows: where they are.
            ids: of their requests.
            tokens: of each, all but the newest.
            room: columns that may be held in all, those of the rows in use included.
        """

    def resume(self, name: Hashable, prompt: Prompt) -> None:
        """A prompt is about to come for a request id; what is kept of that id serves it or is dropped."""

    def refresh(self) -> None:
        """The weights have changed: forget what is kept."""

    def clear(self) -> None:
        """Forget all rows."""


class CachedForward:
    """One token per row and step, over keys and values kept in place.

    Args:
        body: runs the model.
        device: where it runs.
        pad_id: any valid id; what stands left of a short prompt in a block.
    """

    def __init__(self, body: Body, *, device: torch.device, pad_id: int) -> None:
        self.body, self.device, self.pad_id = body, device, pad_id
        self.cache, self._kept, self._room = SlotCache(), Kept(), 0
        self._past: dict[Prompt, Past] = {}
        self.clear()

    def clear(self) -> None:
        """See :meth:`Forward.clear`."""
        self.cache.clear()
        self._block = PromptBlock()
        self._block_index: dict[Prompt, int] = {}
        self._block_logits = torch.empty(0)
        for past in self._past.values():
            self._kept.release(past)
        self._past.clear()

    def session(self) -> AbstractContextManager[object]:
        """See :meth:`Forward.session`."""
        return self.body.session()

    def refresh(self) -> None:
        """See :meth:`Forward.refresh`."""
        self._kept.clear()
        self._past.clear()
        self.body.refresh()

    def arrange(self, keep: Indices, prompts: Sequence[Prompt]) -> Indices:
        """See :meth:`Forward.arrange`."""
        widths = [len(prompt) for prompt in prompts]
        source = self.cache.order(keep, widths)
        self.cache.arrange(source, widths)
        return source

    def add(self, rows: Indices, prompts: Sequence[Prompt], upcoming: Iterable[Prompt], longest: int) -> Tensor:
        """See :meth:`Forward.add`. Each distinct prompt is run once, several together, some ahead of need."""
        logits, done = [], 0
        while done < len(prompts):
            if prompts[done] not in self._block_index:
                self._prefill(dict.fromkeys([*prompts[done:], *islice(upcoming, _BLOCK_TOKENS)]))
            source: list[int] = []
            for prompt in prompts[done:]:
                if prompt not in self._block_index:
                    break
                source.append(self._block_index[prompt])
            end = done + len(source)
            index_R, widths = np.array(source), np.array([len(prompt) for prompt in prompts[done:end]])
            self.cache.place(rows[done:end], self._block, index_R, widths, longest)
            self._kept.trim(self._room - self.cache.capacity * self.cache.length)
            logits.append(self._block_logits[torch.from_numpy(index_R).to(self.device)])
            done = end
        return torch.cat(logits) if len(logits) > 1 else logits[0]

    def step(self, tokens: NDArray[np.int64], longest: int) -> Tensor:
        """See :meth:`Forward.step`."""
        cache = self.cache
        cache.make_room(longest)
        ids_N1 = torch.from_numpy(tokens).to(self.device)[:, None]
        position_N1 = torch.from_numpy(cache.widths()).to(self.device)[:, None]
        logits_NV = self.body(ids_N1, position_N1, cache, StepAttention(cache))
        cache.advance()
        return logits_NV

    def keep(self, rows: Indices, ids: Sequence[Hashable], tokens: Sequence[Prompt], room: int) -> None:
        """See :meth:`Forward.keep`."""
        self._room = room
        self._kept.add(self.cache, rows, ids, tokens, room - self.cache.capacity * self.cache.length)

    def resume(self, name: Hashable, prompt: Prompt) -> None:
        """See :meth:`Forward.resume`."""
        past = self._kept.take(name, prompt)
        if past is None:
            return
        if prompt in self._past:  # another request goes on with the same prompt, which is run once for both
            self._kept.release(past)
        else:
            self._past[prompt] = past

    def _prefill(self, queue: Iterable[Prompt]) -> None:
        """Run the first prompts of the queue, as many as fit into a block; they replace the last block."""
        chosen: list[Prompt] = []
        width = longest = 0
        for prompt in queue:
            past = self._past.get(prompt)
            if past is not None and not past.there:
                del self._past[prompt]
                past = None
            if chosen and (past is None) != (chosen[0] not in self._past):
                continue
            fresh = len(prompt) - (len(past.tokens) if past else 0)
            wider, longer = max(width, fresh), max(longest, len(prompt))
            count = len(chosen) + 1
            if chosen and (wider * count > _BLOCK_TOKENS or longer * count > _BLOCK_COLUMNS):
                break
            chosen.append(prompt)
            width, longest = wider, longer
        pasts = [self._past.pop(prompt) for prompt in chosen if prompt in self._past]
        known = [len(past.tokens) for past in pasts] or [0] * len(chosen)
        fresh_P = [len(prompt) - had for prompt, had in zip(chosen, known, strict=True)]
        ids_PQ = torch.tensor(
            [[self.pad_id] * (width - new) + list(prompt[-new:]) for prompt, new in zip(chosen, fresh_P, strict=True)],
            device=self.device,
        )
        length_P = torch.tensor([len(prompt) for prompt in chosen], device=self.device)
        back_Q = torch.arange(width, 0, -1, device=self.device)
        position_PQ = (length_P[:, None] - back_Q).clamp(min=0)
        self._block = PromptBlock(past_layers(pasts, fresh_P, width) if pasts else None)
        self._block_index = {prompt: i for i, prompt in enumerate(chosen)}
        attend = PromptAttention(longest - length_P, width, longest)
        self._block_logits = self.body(ids_PQ, position_PQ, self._block, attend)
        for past in pasts:
            self._kept.release(past)


class ReferenceForward:
    """Whole rows through the model's ordinary forward at every step: slow, and right for every architecture.

    Rows are padded on the right, where a causal model's padding can change nothing before it.
    """

    def __init__(self, model: nn.Module, *, pad_id: int) -> None:
        self.model, self.pad_id = model, pad_id
        self.clear()

    def clear(self) -> None:
        """See :meth:`Forward.clear`."""
        self._rows: list[list[int]] = []

    def session(self) -> AbstractContextManager[object]:
        """See :meth:`Forward.session`."""
        return nullcontext()

    def refresh(self) -> None:
        """See :meth:`Forward.refresh`."""

    def keep(self, rows: Indices, ids: Sequence[Hashable], tokens: Sequence[Prompt], room: int) -> None:
        """Nothing is known that a whole row does not say."""

    def resume(self, name: Hashable, prompt: Prompt) -> None:
        """See :meth:`keep`."""

    def arrange(self, keep: Indices, prompts: Sequence[Prompt]) -> Indices:
        """See :meth:`Forward.arrange`."""
        self._rows = [*(self._rows[row] for row in keep.tolist()), *(list(prompt) for prompt in prompts)]
        return np.concatenate([keep, -1 - np.arange(len(prompts))])

    def add(self, rows: Indices, prompts: Sequence[Prompt], upcoming: Iterable[Prompt], longest: int) -> Tensor:
        """See :meth:`Forward.add`."""
        return self._run([self._rows[row] for row in rows.tolist()])

    def step(self, tokens: NDArray[np.int64], longest: int) -> Tensor:
        """See :meth:`Forward.step`."""
        for row, token in zip(self._rows, tokens.tolist(), strict=True):
            row.append(token)
        return self._run(self._rows)

    def _run(self, rows: Sequence[Sequence[int]]) -> Tensor:
        width = max(len(row) for row in rows)
        share = max(1, _REFERENCE_TOKENS // width)
        parts = [self._some(rows[i : i + share], width) for i in range(0, len(rows), share)]
        return torch.cat(parts)

    def _some(self, rows: Sequence[Sequence[int]], width: int) -> Tensor:
        device = device_of(self.model)
        ids = torch.tensor([[*row, *[self.pad_id] * (width - len(row))] for row in rows], device=device)
        last_R = torch.tensor([len(row) - 1 for row in rows], device=device)
        mask = torch.arange(width, device=device) <= last_R[:, None]
        logits = self.model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
        picked: Tensor = logits[torch.arange(len(rows), device=device), last_R]
        return picked.float()
