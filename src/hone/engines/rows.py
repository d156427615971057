"""The requests in flight as arrays: a step costs a handful of array operations, and Python only where a row finishes.

Dimensions: N rows in use, C places, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hone.core.seeding import uniforms
from hone.core.types import Completion, StopReason
from hone.engines.base import Request, Sampling
from hone.engines.cache import Indices
from hone.engines.sampling import draw_each
from hone.engines.stopping import StopTexts


@dataclass(slots=True)
class Waiting:
    """A request and what was worked out of it when it was submitted.

    Attributes:
        order: its number among all requests.
        request: the request.
        limit: the most tokens, the context's end included.
        distribution: what its tokens are drawn from.
        stop: looks for its stop texts.
    """

    order: int
    request: Request
    limit: int
    distribution: Sampling
    stop: StopTexts | None


@dataclass(slots=True)
class Finished:
    """A request that is done."""

    waiting: Waiting
    tokens: list[int]
    logprobs: list[float]
    stop: StopReason

    def completion(self, version: int) -> Completion:
        """As the protocol hands it out."""
        return Completion(tuple(self.tokens), tuple(self.logprobs), self.stop, version)


class Rows:
    """Requests in flight. A request keeps one place among the arrays however its row moves.

    Args:
        end_ids: tokens that end a completion.
    """

    def __init__(self, end_ids: frozenset[int]) -> None:
        self.end_ids = end_ids
        self.end_index = torch.tensor(sorted(end_ids), dtype=torch.int64)
        self.clear()

    def clear(self) -> None:
        """Forget all requests."""
        self.place: Indices = np.zeros(0, dtype=np.int64)
        self._free: list[int] = []
        self._what: list[Waiting | None] = []
        self._key = np.zeros(0, dtype=np.uint64)
        self._count, self._limit, self._total, self._young, self._kind = (np.zeros(0, dtype=np.int64) for _ in range(5))
        self._tokens = np.zeros((0, 0), dtype=np.int64)
        self._logprobs = np.zeros((0, 0), dtype=np.float32)
        self._kinds: dict[Sampling, int] = {}
        self._stopping: set[int] = set()
        self._is_end = np.zeros(0, dtype=bool)

    def __len__(self) -> int:
        return len(self.place)

    @property
    def longest(self) -> int:
        """Prompt and token limit of the longest request in flight."""
        return int(self._total[self.place].max())

    @property
    def last(self) -> Indices:
        """[N] the newest token of every row."""
        newest: Indices = self._tokens[self.place, self._count[self.place] - 1]
        return newest

    def arrange(self, source: Indices, joining: Sequence[Waiting]) -> Indices:
        """Put rows in the order ``source`` (see :meth:`hone.engines.forward.Forward.arrange`).

        Returns:
            The positions of those that join, in their order.
        """
        places = self._join(joining)
        old = source >= 0
        place = np.empty(len(source), dtype=np.int64)
        place[old] = self.place[source[old]]
        which = -1 - source[~old]
        place[~old] = places[which]
        rows = np.empty(len(joining), dtype=np.int64)
        rows[which] = np.flatnonzero(~old)
        self.place = place
        return rows

    def sample(self, rows: Indices | None, logits_RV: Tensor) -> tuple[Indices, list[Finished]]:
        """Draw and append a token to every row, or to the given ones.

        Returns:
            The rows that are done, and what they were.
        """
        place_R = self.place if rows is None else self.place[rows]
        count_R = self._count[place_R]
        self._forbid_end(place_R, count_R, logits_RV)
        uniform_R = torch.from_numpy(uniforms(self._key[place_R], count_R.astype(np.uint64))).to(logits_RV.device)
        kinds = list(self._kinds)
        kind_R = self._kind[place_R] if len(kinds) > 1 else None
        token_R, logprob_R = draw_each(logits_RV, kinds, kind_R, uniform_R)
        token = token_R.cpu().numpy()
        self._tokens[place_R, count_R] = token
        self._logprobs[place_R, count_R] = logprob_R.cpu().numpy()
        self._count[place_R] = count_R + 1

        ended = self._ends(logits_RV.shape[1])[token]
        full = count_R + 1 >= self._limit[place_R]
        reasons: dict[int, StopReason] = {}
        if self._stopping:
            for i in np.flatnonzero(~ended).tolist():
                if int(place_R[i]) in self._stopping and self._stopped(int(place_R[i])):
                    reasons[i] = "stop"
        done = np.flatnonzero(ended | full)
        for i in done.tolist():
            reasons.setdefault(i, "end" if ended[i] else "length")
        finished = [self._leave(int(place_R[i]), reason) for i, reason in sorted(reasons.items())]
        where = np.array(sorted(reasons), dtype=np.int64)
        return (where if rows is None else rows[where]), finished

    def _forbid_end(self, place_R: Indices, count_R: Indices, logits_RV: Tensor) -> None:
        young = np.flatnonzero(count_R < self._young[place_R])
        if len(young):
            index = torch.from_numpy(young).to(logits_RV.device)[:, None]
            logits_RV[index, self.end_index.to(logits_RV.device)] = -torch.inf

    def _ends(self, vocabulary: int) -> NDArray[np.bool_]:
        if len(self._is_end) != vocabulary:
            self._is_end = np.isin(np.arange(vocabulary), list(self.end_ids))
        return self._is_end

    def _stopped(self, place: int) -> bool:
        what = self._what[place]
        assert what is not None and what.stop is not None
        return what.stop.found(self._tokens[place, : self._count[place]].tolist())

    def _join(self, joining: Sequence[Waiting]) -> Indices:
        if len(self._free) < len(joining):
            self._grow(len(self._what) + len(joining) - len(self._free))
        places = np.array([self._free.pop() for _ in joining], dtype=np.int64)
        if len(joining):
            width = max(what.limit for what in joining)
            if width > self._tokens.shape[1]:
                self._widen(width)
            self._key[places] = np.array([what.request.key for what in joining], dtype=np.uint64)
            self._count[places] = 0
            self._limit[places] = [what.limit for what in joining]
            self._total[places] = [len(what.request.prompt) + what.limit for what in joining]
            self._young[places] = [what.request.sampling.min_tokens for what in joining]
            self._kind[places] = [self._kinds.setdefault(what.distribution, len(self._kinds)) for what in joining]
        for place, what in zip(places.tolist(), joining, strict=True):
            self._what[place] = what
            if what.stop is not None:
                self._stopping.add(place)
        return places

    def _leave(self, place: int, reason: StopReason) -> Finished:
        what, count = self._what[place], self._count[place]
        assert what is not None
        self._what[place] = None
        self._stopping.discard(place)
        self._free.append(place)
        return Finished(what, self._tokens[place, :count].tolist(), self._logprobs[place, :count].tolist(), reason)

    def _grow(self, places: int) -> None:
        more = places - len(self._what)
        self._free += range(places - 1, len(self._what) - 1, -1)
        self._what += [None] * more
        for name in ("_key", "_count", "_limit", "_total", "_young", "_kind", "_tokens", "_logprobs"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros((more, *old.shape[1:]), dtype=old.dtype)]))

    def _widen(self, width: int) -> None:
        for name in ("_tokens", "_logprobs"):
            old = getattr(self, name)
            new = np.zeros((len(old), width), dtype=old.dtype)
            new[:, : old.shape[1]] = old
            setattr(self, name, new)
