"""The embedded engine: continuous generation with the learner's own weights, in the learner's process.

The weights are the learner's own, or a copy made of them where that is faster; :meth:`EmbeddedEngine.sync` says that
they have changed. Rows leave when they finish, waiting requests take their place at once, and each distinct prompt is
run once for all its samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from hone.core.errors import HoneError
from hone.core.spans import span
from hone.core.types import Completion
from hone.engines.base import Engine, Request, Sampling
from hone.engines.cache import Indices, token_bytes
from hone.engines.check import Guard, choose
from hone.engines.fingerprint import Fingerprint
from hone.engines.forward import Forward, Prompt, ReferenceForward
from hone.engines.masks import text_config
from hone.engines.rows import Finished, Rows, Waiting
from hone.engines.sampling import distribution
from hone.engines.stopping import StopTexts
from hone.models.precision import computing
from hone.models.steady import steady_length

_CACHE_BYTES = 512 * 2**20
"""What keys and values may take where nobody says how many requests are to be in flight."""


class EmbeddedEngine(Engine):
    """Samples from a Hugging Face causal language model.

    Args:
        model: a causal language model, or one wrapped by PEFT (its adapters are active). Its mode is restored
        after
            every call.
        tokenizer: decodes tokens to look for stop texts; None where no request has any.
        pad_id: any valid id, for padding that nobody sees.
        end_ids: sampling one of these ends a completion; it is its last token.
        slots: the most requests in flight; None takes as many as keys and values of the longest of them leave room
            for in half a GiB, between 32 and 1,024.
        max_length: the model's context in tokens; None takes the configuration's ``max_position_embeddings``.
            Never more than :func:`hone.models.steady.steady_length`.
        dtype: sample from a copy of the weights in this dtype, cast after every update; None computes as the learner
            does. Half precision makes the log-probabilities differ from the learner's by about 1e-2.

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
        slots: int | None = None,
        max_length: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.model, self.tokenizer, self.end_ids, self._slots = model, tokenizer, end_ids, slots
        limits = (
            max_length or getattr(text_config(model), "max_position_embeddings", None),
            steady_length(model.config),
        )
        self.max_length = min((limit for limit in limits if limit), default=None)
        self._modules, self._weights = list(model.modules()), Fingerprint(list(model.parameters()))
        self._token_bytes = token_bytes(text_config(model))
        self._forward: Forward = ReferenceForward(model, pad_id=pad_id)
        self._guard: Guard = torch.no_grad
        with self._sampling():
            choice = choose(model, pad_id=pad_id, max_length=self.max_length, dtype=dtype)
        self._forward, self.mode, self._guard = choice.forward, choice.mode, choice.guard
        self._queue: dict[Prompt, deque[Waiting]] = {}
        self._rows = Rows(end_ids)
        self._submitted = self._longest = 0
        self._version = 0

    @classmethod
    def of(cls, policy: Any, *, slots: int | None = None, dtype: torch.dtype | None = None) -> EmbeddedEngine:
        """An engine over a :class:`hone.models.policy.Policy`."""
        return cls(
            policy.model,
            policy.tokenizer,
            pad_id=policy.pad_id,
            end_ids=frozenset(policy.end_ids),
            slots=slots,
            max_length=policy.max_length,
            dtype=dtype,
        )

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests; those with equal prompts are run together, whenever they came.

        A completion that would run past the context stops there, with reason "length".

        Raises:
            HoneError: an empty prompt, one that leaves no room in the context, or stop texts without a
            tokenizer.
                None of the requests is queued then.
        """
        known: dict[Sampling, tuple[Sampling, StopTexts | None]] = {}
        waiting = []
        for order, request in enumerate(requests, self._submitted):
            self._refuse(request)
            sampling = request.sampling
            if sampling not in known:
                stop = StopTexts(self.tokenizer, sampling.stop) if sampling.stop else None
                known[sampling] = distribution(sampling), stop
            limit = sampling.max_tokens
            if self.max_length is not None:
                limit = min(limit, self.max_length - len(request.prompt))
            waiting.append(Waiting(order, request, limit, *known[sampling]))
        self._submitted += len(waiting)
        if not len(self._rows) and not self._queue:
            self._longest = 0
        self._longest = max((self._longest, *(len(each.request.prompt) + each.limit for each in waiting)))
        for each in waiting:
            self._forward.resume(each.request.id, each.request.prompt)
            self._queue.setdefault(each.request.prompt, deque()).append(each)

    def collect(self) -> list[tuple[Hashable, Completion]]:
        """Run until at least one request has finished; those that did, in the order of submission.

        An error or an interrupt abandons everything queued and in flight; the engine stays usable.

        Raises:
            HoneError: the model's logits are not finite.
        """
        return [(done.waiting.request.id, done.completion(self._version)) for done in self._collect()]

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
                done |= {each.waiting.order - start: each.completion(self._version) for each in self._collect()}
        return [done[i] for i in range(len(requests))]

    def sync(self, policy_version: int) -> None:
        """The weights have changed: later completions carry this version, and nothing that was kept is used.

        To be called after every change of the weights. Copies are always made anew here. Without the call an update
        of all weights is still noticed before the next generation (:mod:`hone.engines.fingerprint`), a change of a
        few numbers perhaps not.

        Raises:
            RuntimeError: requests are in flight; half their tokens would be another policy's.
        """
        self._need_idle("sync")
        self._version = policy_version
        self._weights.changed()
        self._forward.refresh()

    def _collect(self) -> list[Finished]:
        finished: list[Finished] = []
        if not len(self._rows):
            self._refresh()
        try:
            with self._sampling():
                while not finished and (len(self._rows) or self._queue):
                    gone, done = self._step()
                    self._keep(gone, done)
                    finished += done
                    if len(gone) or self._queue:
                        finished += self._admit(gone)
        except BaseException:
            self._queue.clear()
            self._rows.clear()
            raise
        finally:
            if not len(self._rows) and not self._queue:
                self._forward.clear()
                self._rows.clear()
        return sorted(finished, key=lambda done: done.waiting.order)

    def _refresh(self) -> None:
        """Let copies of the weights follow them, also without ``sync``; asked for whenever nothing is in flight."""
        if self._weights.changed():
            self._forward.refresh()

    def _keep(self, gone: Indices, done: Sequence[Finished]) -> None:
        """Let the forward path keep the rows of finished requests that others may go on from."""
        wanted = [(row, each) for row, each in zip(gone, done, strict=True) if each.waiting.request.more]
        if wanted:
            requests = [each.waiting.request for _, each in wanted]
            tokens = [(*each.waiting.request.prompt, *each.tokens[:-1]) for _, each in wanted]
            rows = np.array([row for row, _ in wanted])
            self._forward.keep(rows, [request.id for request in requests], tokens, self.slots * self._longest)

    def _step(self) -> tuple[Indices, list[Finished]]:
        """One more token for every row; the rows that finished, and what they were."""
        if not len(self._rows):
            return np.zeros(0, dtype=np.int64), []
        with span("decode", rows=len(self._rows)):
            logits_NV = self._forward.step(self._rows.last, self._rows.longest)
        with span("sample"):
            return self._rows.sample(None, logits_NV)

    def _admit(self, gone: Indices) -> list[Finished]:
        """Drop rows that are gone and let waiting requests take their places, with their first token."""
        finished: list[Finished] = []
        while True:
            keep = np.delete(np.arange(len(self._rows)), gone)
            new = self._take(self.slots - len(keep))
            if not len(gone) and not new:
                return finished
            prompts = [waiting.request.prompt for waiting in new]
            rows = self._rows.arrange(self._forward.arrange(keep, prompts), new)
            if not new:
                return finished
            with span("prefill"):
                logits_RV = self._forward.add(rows, prompts, self._queue, self._rows.longest)
            with span("sample"):
                gone, done = self._rows.sample(rows, logits_RV)
            self._keep(gone, done)
            finished += done

    @property
    def slots(self) -> int:
        """The most requests in flight: as asked for, or as many of the longest request as memory is meant to hold."""
        if self._slots is not None:
            return self._slots
        return min(max(_CACHE_BYTES // (self._token_bytes * max(self._longest, 1)), 32), 1024)

    def _take(self, count: int) -> list[Waiting]:
        """Up to ``count`` waiting requests; those of one prompt together, prompts in the order they came."""
        taken: list[Waiting] = []
        while self._queue and len(taken) < count:
            prompt, waiting = next(iter(self._queue.items()))
            taken += [waiting.popleft() for _ in range(min(len(waiting), count - len(taken)))]
            if not waiting:
                del self._queue[prompt]
        return taken

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
        if len(self._rows) or self._queue:
            raise RuntimeError(f"{verb}() while requests are queued or in flight: collect them first")

    @contextmanager
    def _sampling(self) -> Iterator[None]:
        """No gradients, no dropout, the compute dtype; the mode of every module is put back."""
        training = [module for module in self._modules if module.training]
        for module in training:
            module.training = False
        try:
            with self._guard(), computing(self.model), self._forward.session():
                yield
        finally:
            for module in training:
                module.training = True
