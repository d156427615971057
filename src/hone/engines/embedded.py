"""The embedded engine: continuous generation with the learner's own weights, in the learner's process.

The weights are shared, not copied: an optimiser step is seen by the next forward pass. Rows leave when they
finish, waiting requests take their place at once, and each distinct prompt is run once for all its samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hone.core.errors import HoneError
from hone.core.seeding import uniforms
from hone.core.types import Completion, StopReason
from hone.engines.base import Engine, Request, Sampling
from hone.engines.check import Guard, choose
from hone.engines.forward import Prompt
from hone.engines.masks import text_config
from hone.engines.sampling import distribution, draw_each
from hone.engines.stopping import StopTexts
from hone.models.precision import computing


@dataclass(slots=True)
class _Row:
    """A request in flight."""

    order: int
    request: Request
    limit: int
    distribution: Sampling
    stop: StopTexts | None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


_Finished = tuple[_Row, StopReason]


class EmbeddedEngine(Engine):
    """Samples from a Hugging Face causal language model.

    Args:
        model: a causal language model, or one wrapped by PEFT (its adapters are active). Its mode is restored
        after
            every call.
        tokenizer: decodes tokens to look for stop texts; None where no request has any.
        pad_id: any valid id, for padding that nobody sees.
        end_ids: sampling one of these ends a completion; it is its last token.
        slots: the most requests in flight.
        max_length: the model's context in tokens; None takes the configuration's ``max_position_embeddings``.

    Attributes:
        mode: ``"cached"``, or ``"reference"`` where the slot cache did not reproduce this model's logits (see
            :mod:`hone.engines.check`).
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        pad_id: int,
        end_ids: frozenset[int],
        slots: int = 256,
        max_length: int | None = None,
    ) -> None:
        self.model, self.tokenizer, self.end_ids, self.slots = model, tokenizer, end_ids, slots
        self.max_length = max_length or getattr(text_config(model), "max_position_embeddings", None)
        self._guard: Guard = torch.no_grad
        with self._sampling():
            choice = choose(model, pad_id=pad_id, slots=slots, max_length=self.max_length)
        self._forward, self.mode, self._guard = choice.forward, choice.mode, choice.guard
        self._queue: dict[Prompt, deque[_Row]] = {}
        self._rows: list[_Row | None] = []
        self._submitted = 0
        self._version = 0
        self._end_index = torch.tensor(sorted(end_ids), dtype=torch.int64)

    @classmethod
    def of(cls, policy: Any, *, slots: int = 256) -> EmbeddedEngine:
        """An engine over a :class:`hone.models.policy.Policy`."""
        return cls(
            policy.model,
            policy.tokenizer,
            pad_id=policy.pad_id,
            end_ids=frozenset(policy.end_ids),
            slots=slots,
            max_length=policy.max_length,
        )

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests; those with equal prompts are run together, whenever they came.

        A completion that would run past the context stops there, with reason "length".

        Raises:
            HoneError: an empty prompt, one that leaves no room in the context, or stop texts without a
            tokenizer.
                None of the requests is queued then.
        """
        stops: dict[tuple[str, ...], StopTexts] = {}
        rows = []
        for order, request in enumerate(requests, self._submitted):
            self._refuse(request)
            texts = request.sampling.stop
            if texts and texts not in stops:
                stops[texts] = StopTexts(self.tokenizer, texts)
            limit = request.sampling.max_tokens
            if self.max_length is not None:
                limit = min(limit, self.max_length - len(request.prompt))
            rows.append(_Row(order, request, limit, distribution(request.sampling), stops.get(texts)))
        self._submitted += len(rows)
        for row in rows:
            self._queue.setdefault(row.request.prompt, deque()).append(row)

    def collect(self) -> list[tuple[Hashable, Completion]]:
        """Run until at least one request has finished; those that did, in the order of submission.

        An error or an interrupt abandons everything queued and in flight; the engine stays usable.

        Raises:
            HoneError: the model's logits are not finite.
        """
        return [(row.request.id, self._completion(row, stop)) for row, stop in self._collect()]

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Completions in the order of the requests.

        Raises:
            RuntimeError: other requests are queued or in flight.
        """
        self._need_idle("generate")
        start = self._submitted
        self.submit(requests)
        done: dict[int, Completion] = {}
        with computing(self.model):  # around all steps, so that weights are rounded once
            while len(done) < len(requests):
                done |= {row.order - start: self._completion(row, stop) for row, stop in self._collect()}
        return [done[i] for i in range(len(requests))]

    def sync(self, policy_version: int) -> None:
        """The weights have changed: later completions carry this version. Nothing cached outlives the last
        request.

        Raises:
            RuntimeError: requests are in flight; half their tokens would be another policy's.
        """
        self._need_idle("sync")
        self._version = policy_version

    def _collect(self) -> list[_Finished]:
        finished: list[_Finished] = []
        try:
            with self._sampling():
                while not finished and (self._rows or self._queue):
                    finished += self._step()
                    finished += self._admit()
        except BaseException:
            self._queue, self._rows = {}, []
            raise
        finally:
            if not self._rows and not self._queue:
                self._forward.clear()
        return sorted(finished, key=lambda done: done[0].order)

    def _step(self) -> list[_Finished]:
        """One more token for every row; finished rows leave holes."""
        rows = [row for row in self._rows if row is not None]
        if not rows:
            return []
        logits_NV = self._forward.step([row.tokens[-1] for row in rows], _longest(rows))
        return self._sample(rows, list(range(len(rows))), logits_NV)

    def _admit(self) -> list[_Finished]:
        """Waiting requests into holes and unused rows, with their first token; then close the holes left."""
        finished: list[_Finished] = []
        while True:
            free = [i for i, row in enumerate(self._rows) if row is None]
            free += range(len(self._rows), self.slots)
            new = self._take(len(free))
            if not new:
                break
            where = free[: len(new)]
            self._rows += [None] * (where[-1] + 1 - len(self._rows))
            for i, row in zip(where, new, strict=True):
                self._rows[i] = row
            longest = _longest([row for row in self._rows if row is not None])
            logits_RV = self._forward.add(where, [row.request.prompt for row in new], self._queue, longest)
            finished += self._sample(new, where, logits_RV)
        self._close()
        return finished

    def _take(self, count: int) -> list[_Row]:
        """Up to ``count`` waiting requests; those of one prompt together, prompts in the order they came."""
        taken: list[_Row] = []
        while self._queue and len(taken) < count:
            prompt, waiting = next(iter(self._queue.items()))
            taken += [waiting.popleft() for _ in range(min(len(waiting), count - len(taken)))]
            if not waiting:
                del self._queue[prompt]
        return taken

    def _close(self) -> None:
        """Move the last rows into the holes."""
        if None not in self._rows:
            return
        alive = [i for i, row in enumerate(self._rows) if row is not None]
        target = [i for i in range(len(alive)) if self._rows[i] is None]
        source = alive[len(alive) - len(target) :]
        for old, new in zip(source, target, strict=True):
            self._rows[new] = self._rows[old]
        del self._rows[len(alive) :]
        self._forward.move(source, target, len(alive))

    def _sample(self, rows: Sequence[_Row], where: Sequence[int], logits_RV: Tensor) -> list[_Finished]:
        """Draw and append a token to every row; those that finish leave a hole in ``self._rows``."""
        self._forbid_end(rows, logits_RV)
        keys = np.array([row.request.key for row in rows], dtype=np.uint64)
        counts = np.array([len(row.tokens) for row in rows], dtype=np.uint64)
        uniform_R = torch.from_numpy(uniforms(keys, counts)).to(logits_RV.device)
        token_R, logprob_R = draw_each(logits_RV, [row.distribution for row in rows], uniform_R)

        finished: list[_Finished] = []
        for row, i, token, logprob in zip(rows, where, token_R.tolist(), logprob_R.tolist(), strict=True):
            row.tokens.append(token)
            row.logprobs.append(logprob)
            if (stop := self._stop(row)) is not None:
                finished.append((row, stop))
                self._rows[i] = None
        return finished

    def _forbid_end(self, rows: Sequence[_Row], logits_RV: Tensor) -> None:
        young = [i for i, row in enumerate(rows) if len(row.tokens) < row.request.sampling.min_tokens]
        if young:
            index = torch.tensor(young, device=logits_RV.device)[:, None]
            logits_RV[index, self._end_index.to(logits_RV.device)] = -torch.inf

    def _stop(self, row: _Row) -> StopReason | None:
        if row.tokens[-1] in self.end_ids:
            return "end"
        if row.stop is not None and row.stop.found(row.tokens):
            return "stop"
        return "length" if len(row.tokens) >= row.limit else None

    def _completion(self, row: _Row, stop: StopReason) -> Completion:
        return Completion(tuple(row.tokens), tuple(row.logprobs), stop, self._version)

    def _refuse(self, request: Request) -> None:
        where = f"request {request.id!r}"
        if not request.prompt:
            raise HoneError("the prompt is empty", where=where, do="begin with the start token")
        if self.max_length is not None and len(request.prompt) >= self.max_length:
            raise HoneError(
                "the prompt leaves no room for an answer in the model's context",
                where=where,
                got=f"{len(request.prompt)} tokens",
                expected=f"fewer than {self.max_length}",
                do="shorten the prompt, or drop old turns",
            )
        if request.sampling.stop and self.tokenizer is None:
            raise HoneError("stop texts need a tokenizer", where=where, do="give the engine one")

    def _need_idle(self, verb: str) -> None:
        if self._rows or self._queue:
            raise RuntimeError(f"{verb}() while requests are queued or in flight: collect them first")

    @contextmanager
    def _sampling(self) -> Iterator[None]:
        """No gradients, no dropout, the compute dtype; the mode of every module is put back."""
        training = [module for module in self.model.modules() if module.training]
        for module in training:
            module.training = False
        try:
            with self._guard(), computing(self.model):
                yield
        finally:
            for module in training:
                module.training = True


def _longest(rows: Sequence[_Row]) -> int:
    return max(len(row.request.prompt) + row.limit for row in rows)
