"""Next-token logits for rows that join, grow and leave: from the slot cache, or by running whole rows again.

Dimensions: N rows in use, R rows that join, P distinct prompts, L columns, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hone.engines.cache import PromptBlock, SlotCache
from hone.engines.masks import MaskForm
from hone.models.precision import compute_dtype

Prompt = tuple[int, ...]

_BLOCK_TOKENS = 2048
"""Prompts are prefilled together up to this many padded tokens (or one prompt, if that is longer)."""
_REFERENCE_TOKENS = 16_384
"""The reference path runs at most this many padded tokens at once."""


class Forward(Protocol):
    """Rows 0..N-1 without holes between calls to :meth:`step`."""

    def add(self, rows: Sequence[int], prompts: Sequence[Prompt], upcoming: Iterable[Prompt], longest: int) -> Tensor:
        """Let prompts join in the given rows (holes, or the next unused rows in order); logits [R,V] float32.

        Args:
            rows: where.
            prompts: one per row; equal ones stand next to each other.
            upcoming: the distinct prompts still waiting, in the order in which they will come.
            longest: prompt and token limit of the longest request in flight.
        """

    def step(self, tokens: Sequence[int], longest: int) -> Tensor:
        """Append one token to every row; logits [N,V] float32."""

    def move(self, source: Sequence[int], target: Sequence[int], rows: int) -> None:
        """Copy rows into holes and keep the first ``rows``."""

    def clear(self) -> None:
        """Forget everything."""


class CachedForward:
    """One token per row and step, over keys and values kept in place.

    Args:
        model: a Hugging Face causal language model, or one wrapped by PEFT.
        form: the masks it takes.
        pad_id: any valid id; what stands left of a short prompt in a block.
        slots: the most rows.
    """

    def __init__(self, model: nn.Module, form: MaskForm, *, pad_id: int, slots: int) -> None:
        self.model, self.form, self.pad_id = model, form, pad_id
        self.cache = SlotCache(slots)
        self.few = _last_only(model)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.cache.clear()
        self._block = PromptBlock()
        self._block_index: dict[Prompt, int] = {}
        self._block_logits = torch.empty(0)

    def add(self, rows: Sequence[int], prompts: Sequence[Prompt], upcoming: Iterable[Prompt], longest: int) -> Tensor:
        """See :meth:`Forward.add`. Each distinct prompt is run once, several together, some ahead of need."""
        logits, done = [], 0
        while done < len(prompts):
            if prompts[done] not in self._block_index:
                self._prefill(dict.fromkeys([*prompts[done:], *islice(upcoming, _BLOCK_TOKENS)]))
            end = done
            while end < len(prompts) and prompts[end] in self._block_index:
                end += 1
            here = prompts[done:end]
            source = [self._block_index[prompt] for prompt in here]
            self.cache.place(rows[done:end], self._block, source, [len(p) for p in here], longest)
            logits.append(self._block_logits[source])
            done = end
        return torch.cat(logits) if len(logits) > 1 else logits[0]

    def step(self, tokens: Sequence[int], longest: int) -> Tensor:
        """See :meth:`Forward.step`."""
        cache = self.cache
        cache.make_room(longest)
        device = _device(self.model)
        start_N = torch.tensor(cache.start, device=device)
        logits_NV = self._run(
            torch.tensor(tokens, device=device)[:, None],
            self.form.build(start_N, cache.first, cache.cursor, 1, compute_dtype(self.model)),
            (cache.cursor - start_N)[:, None],
            cache,
        )
        cache.advance()
        return logits_NV

    def move(self, source: Sequence[int], target: Sequence[int], rows: int) -> None:
        """See :meth:`Forward.move`."""
        self.cache.move(source, target, rows)

    def _prefill(self, queue: Iterable[Prompt]) -> None:
        """Run the first prompts of the queue, as many as fit into a block; they replace the last block."""
        chosen: list[Prompt] = []
        width = 0
        for prompt in queue:
            if chosen and max(width, len(prompt)) * (len(chosen) + 1) > _BLOCK_TOKENS:
                break
            chosen.append(prompt)
            width = max(width, len(prompt))
        device = _device(self.model)
        ids = torch.tensor([[self.pad_id] * (width - len(p)) + list(p) for p in chosen], device=device)
        start_P = torch.tensor([width - len(p) for p in chosen], device=device)
        position = (torch.arange(width, device=device) - start_P[:, None]).clamp(min=0)
        mask = self.form.build(start_P, 0, width - 1, width, compute_dtype(self.model))
        self._block = PromptBlock()
        self._block_index = {prompt: i for i, prompt in enumerate(chosen)}
        self._block_logits = self._run(ids, mask, position, self._block)

    def _run(self, ids: Tensor, mask: Any, position: Tensor, cache: Any) -> Tensor:
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            **self.few,
        )
        logits: Tensor = output.logits[:, -1]
        return logits.float()


class ReferenceForward:
    """Whole rows through the model's ordinary forward at every step: slow, and right for every architecture.

    Rows are padded on the right, where a causal model's padding can change nothing before it.
    """

    def __init__(self, model: nn.Module, *, pad_id: int) -> None:
        self.model, self.pad_id = model, pad_id
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._rows: list[list[int]] = []

    def add(self, rows: Sequence[int], prompts: Sequence[Prompt], upcoming: Iterable[Prompt], longest: int) -> Tensor:
        """See :meth:`Forward.add`."""
        self._rows += [[] for _ in range(max(rows) + 1 - len(self._rows))]
        for row, prompt in zip(rows, prompts, strict=True):
            self._rows[row] = list(prompt)
        return self._run([self._rows[row] for row in rows])

    def step(self, tokens: Sequence[int], longest: int) -> Tensor:
        """See :meth:`Forward.step`."""
        for row, token in zip(self._rows, tokens, strict=True):
            row.append(token)
        return self._run(self._rows)

    def move(self, source: Sequence[int], target: Sequence[int], rows: int) -> None:
        """See :meth:`Forward.move`."""
        for old, new in zip(source, target, strict=True):
            self._rows[new] = self._rows[old]
        del self._rows[rows:]

    def _run(self, rows: Sequence[Sequence[int]]) -> Tensor:
        width = max(len(row) for row in rows)
        share = max(1, _REFERENCE_TOKENS // width)
        parts = [self._some(rows[i : i + share], width) for i in range(0, len(rows), share)]
        return torch.cat(parts)

    def _some(self, rows: Sequence[Sequence[int]], width: int) -> Tensor:
        device = _device(self.model)
        ids = torch.tensor([[*row, *[self.pad_id] * (width - len(row))] for row in rows], device=device)
        last_R = torch.tensor([len(row) - 1 for row in rows], device=device)
        mask = torch.arange(width, device=device) <= last_R[:, None]
        logits = self.model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
        picked: Tensor = logits[torch.arange(len(rows), device=device), last_R]
        return picked.float()


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _last_only(model: Any) -> dict[str, int]:
    """The argument that makes a model give only the last position's logits, if it has one."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(base.forward).parameters else {}
