"""How a model is run on tokens and a cache: the models of transformers, with their attention replaced or masked.

Dimensions: N rows, Q new tokens of each, V vocabulary.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import Cache

from hone.engines.attend import Attention
from hone.engines.masks import MaskForm
from hone.models.attention import Layer, attending
from hone.models.logits import inner
from hone.models.precision import compute_dtype


class Body(Protocol):
    """Tokens → logits [N,V] float32 of the last one of each row."""

    def __call__(self, ids_NQ: Tensor, position_NQ: Tensor, cache: Cache, attend: Attention) -> Tensor:
        """Run the model; every layer hands its new keys and values to ``cache.update``."""

    def session(self) -> AbstractContextManager[object]:
        """What must hold around calls."""

    def refresh(self) -> None:
        """The weights have changed."""


class AttendingBody:
    """The model's own forward, its attention replaced.

    Args:
        model: a causal language model whose attention can be replaced (:func:`hone.models.attention.switchable`).
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.few = last_only(model)
        self._attend: Attention | None = None

    def __call__(self, ids_NQ: Tensor, position_NQ: Tensor, cache: Cache, attend: Attention) -> Tensor:
        """See :class:`Body`."""
        self._attend = attend
        output = self.model(
            input_ids=ids_NQ, position_ids=position_NQ, past_key_values=cache, use_cache=True, **self.few
        )
        logits: Tensor = output.logits[:, -1]
        return logits.float()

    @contextmanager
    def session(self) -> Iterator[None]:
        """Switch the model's attention."""
        with attending(self.model, self._call):
            yield

    def refresh(self) -> None:
        """The weights are the model's own."""

    def _call(self, query: Tensor, key: Tensor, value: Tensor, layer: Layer) -> Tensor:
        assert self._attend is not None
        return self._attend(query, key, value, layer)


class CopiedBody(AttendingBody):
    """:class:`AttendingBody` over a copy of the model in another dtype, cast once per :meth:`refresh`.

    Only parameters are cast. Of the buffers, rotary frequencies in bfloat16 would be off by up to 1/512: at position
    2,000 about a radian.

    Args:
        model: see :class:`AttendingBody`.
        dtype: of the copy.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        mine = copy.deepcopy(model).requires_grad_(False).eval()
        for parameter in mine.parameters():
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)
        super().__init__(mine)
        self.source = model

    def refresh(self) -> None:
        """Cast the weights."""
        with torch.no_grad():
            for mine, other in zip(self.model.parameters(), self.source.parameters(), strict=True):
                mine.copy_(other)


class MaskedBody:
    """The model's own forward and attention, with masks of ours: for architectures that fix their attention.

    Args:
        model: any causal language model.
        form: the masks it takes.
    """

    def __init__(self, model: nn.Module, form: MaskForm) -> None:
        self.model, self.form = model, form
        self.few = last_only(model)

    def __call__(self, ids_NQ: Tensor, position_NQ: Tensor, cache: Cache, attend: Attention) -> Tensor:
        """See :class:`Body`."""
        output = self.model(
            input_ids=ids_NQ,
            attention_mask=self.form.build(attend, compute_dtype(self.model)),
            position_ids=position_NQ,
            past_key_values=cache,
            use_cache=True,
            **self.few,
        )
        logits: Tensor = output.logits[:, -1]
        return logits.float()

    def session(self) -> AbstractContextManager[object]:
        """Nothing is needed."""
        return nullcontext()

    def refresh(self) -> None:
        """The weights are the model's own."""


def last_only(model: nn.Module) -> dict[str, int]:
    """The argument that makes a model give only the last position's logits, if it has one."""
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(inner(model).forward).parameters else {}


def device_of(model: nn.Module) -> torch.device:
    """Where the input embedding is."""
    device = inner(model).get_input_embeddings().weight.device
    assert isinstance(device, torch.device)
    return device
