"""An engine whose completions are written by a function: for tests of whatever talks to an engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from hone.core.types import Completion
from hone.engines.base import Engine, Request

Script = Callable[[Request], str | Sequence[int] | Completion]


class ScriptedEngine(Engine):
    """Answers each request with what the script says.

    A text is encoded and ends with the end token; ids are taken as they are and stop with "end" iff the last
    of them is the end token, else with "stop". Either is cut at ``max_tokens``, with reason "length". A
    completion is handed out as it is but for its policy version.

    Args:
        script: what to answer.
        encode: text to ids, without special tokens; needed where the script answers with text.
        end_id: the end token.
        logprob: log-probability of every token of a text or of ids.
        batch: how many requests finish in one :meth:`collect`; 0 is all of them.

    Attributes:
        requests: everything that was submitted, in order.
    """

    def __init__(
        self,
        script: Script,
        *,
        encode: Callable[[str], Sequence[int]] | None = None,
        end_id: int | None = None,
        logprob: float = 0.0,
        batch: int = 0,
    ) -> None:
        self.script, self.encode, self.end_id = script, encode, end_id
        self.logprob, self.batch = logprob, batch
        self.requests: list[Request] = []
        self._queue: deque[Request] = deque()
        self._version = 0

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests."""
        self.requests += requests
        self._queue += requests

    def collect(self) -> list[tuple[Hashable, Completion]]:
        """The next requests' completions, in the order of submission; [] when nothing waits."""
        count = min(self.batch or len(self._queue), len(self._queue))
        return [(request.id, self._answer(request)) for request in (self._queue.popleft() for _ in range(count))]

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Completions in the order of the requests.

        Raises:
            RuntimeError: other requests are queued.
        """
        if self._queue:
            raise RuntimeError("generate() while requests are queued: collect them first")
        self.submit(requests)
        self._queue.clear()
        return [self._answer(request) for request in requests]

    def sync(self, policy_version: int) -> None:
        """Later completions carry this version."""
        self._version = policy_version

    def _answer(self, request: Request) -> Completion:
        answer = self.script(request)
        if isinstance(answer, Completion):
            return replace(answer, policy_version=self._version)
        if isinstance(answer, str):
            if self.encode is None:
                raise TypeError("the script answers with text: give the engine `encode`")
            ids = [*self.encode(answer), *([] if self.end_id is None else [self.end_id])]
        else:
            ids = list(answer)
        cut = tuple(ids[: request.sampling.max_tokens])
        logprobs = (self.logprob,) * len(cut)
        if cut and cut[-1] == self.end_id:
            return Completion(cut, logprobs, "end", self._version)
        return Completion(cut, logprobs, "length" if len(cut) < len(ids) else "stop", self._version)
