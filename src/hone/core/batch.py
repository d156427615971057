"""A batch: columns over rows of tokens.

Dimensions: B rows, T positions, E episodes. Column ``x[b, t]`` always speaks of token t as an *action*: its
log-probability given the tokens before it, the value of the state before it, the reward that followed it.
Rows are right-padded; padding belongs to no mask.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Rows of tokens with their provenance, rewards and (later) the learner's columns.

    Attributes:
        tokens: [B,T] int64.
        mask: [B,T] bool, a real token (not padding).
        sampled: [B,T] bool, provenance: the policy sampled this token.
        train: [B,T] bool, this token is in the loss.
        turn: [B,T] int64, index of the turn a token belongs to (observation tokens too); 0 on padding.
        reward: [B,T] float, on the last action token of the turn that earned it.
        behaviour_logprob: [B,T] float, the sampler's log-probability; 0 where nothing was sampled.
        episode: [B] int64, rows of one episode share it.
        step: [B] int64, where in its episode a row stands.
        group: [B] int64, episodes of one question share it.
        terminated: [B] bool.
        bootstrap: [B] float, value of the state after the row's last token (0 where the episode terminated).
        truncated: [B] bool, the row's last completion met its token limit instead of ending; None where nobody knows.
        old_logprob, ref_logprob, value, advantage, returns: [B,T], added by :meth:`with_` when an algorithm needs
            them; ``returns`` is what the value is to become.
        teacher_ids, teacher_logprob: [B,T,K], a teacher's likeliest tokens in the place of each token, added likewise.
    """

    tokens: Tensor
    mask: Tensor
    sampled: Tensor
    train: Tensor
    turn: Tensor
    reward: Tensor
    behaviour_logprob: Tensor
    episode: Tensor
    step: Tensor
    group: Tensor
    terminated: Tensor
    bootstrap: Tensor
    truncated: Tensor | None = None
    old_logprob: Tensor | None = None
    ref_logprob: Tensor | None = None
    value: Tensor | None = None
    advantage: Tensor | None = None
    returns: Tensor | None = None
    teacher_ids: Tensor | None = None
    teacher_logprob: Tensor | None = None

    def __len__(self) -> int:
        return int(self.tokens.shape[0])

    def with_(self, **columns: Any) -> Batch:
        """The same batch with columns added or replaced."""
        return dataclasses.replace(self, **columns)

    def need(self, column: str) -> Tensor:
        """A column that must be there; a missing one means an algorithm did not list it in ``needs``."""
        found = getattr(self, column)
        if found is None:
            raise LookupError(f'column "{column}" was not computed: list it in the algorithm\'s `needs`')
        assert isinstance(found, Tensor)
        return found

    def rows(self, index: Tensor) -> Batch:
        """The given rows (int64 or bool index), cut to their longest real length."""
        columns = {name: column[index] for name, column in self._columns().items()}
        width = max(int(columns["mask"].sum(-1).max()), 1) if len(columns["mask"]) else 1
        cut = {name: c[:, :width] if c.dim() > 1 else c for name, c in columns.items()}
        return Batch(**cut)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        return Batch(**{name: column.to(device) for name, column in self._columns().items()})

    def _columns(self) -> dict[str, Tensor]:
        named = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: column for name, column in named if column is not None}


def compact(ids: Tensor) -> tuple[Tensor, int]:
    """Renumber arbitrary ids [B] to 0..n-1; returns the new ids and n."""
    unique, inverse = torch.unique(ids, return_inverse=True)
    return inverse, len(unique)
