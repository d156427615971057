"""A teacher behind an OpenAI-compatible HTTP server (vLLM, llama.cpp, ``transformers serve``, hosted ones)."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from threading import Event
from time import sleep as _pause
from typing import Any, NamedTuple

from hone.core.errors import HoneError
from hone.data.attempts import Attempt
from hone.rollout.improvers.base import Desk, Place

_WORTH_ANOTHER_TRY = {408, 409, 425, 429, 500, 502, 503, 504}
_REFUSED = {400, 413, 422}
"""One conversation is not answered, for its length or its content; others may be."""
_LONGEST_WAIT = 30.0


@dataclass(frozen=True)
class Http:
    """One chat completion of a server at every place.

    What comes back is written down part by part (``rounds.part`` questions): a resumed run asks again for the answers
    of the part in which it was stopped, and for no others. The server itself need not be deterministic.

    Attributes:
        url: of the API, ending in ``/v1``.
        model: the name the server knows the model by.
        key_env: the environment variable that holds the key, sent as a bearer token; "" sends none.
        temperature: of the teacher; the default is RISE's.
        max_tokens: most tokens of an answer.
        timeout: seconds to wait for an answer.
        tries: how often an answer is asked for, with growing pauses, before the server is taken to be down.
        parallel: questions in flight.
    """

    url: str
    model: str
    key_env: str = ""
    temperature: float = 0.7
    max_tokens: int = 512
    timeout: float = 60.0
    tries: int = 4
    parallel: int = 8

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url must begin with http:// or https://, not {self.url!r}")
        if min(self.tries, self.parallel, self.max_tokens) < 1 or self.timeout <= 0 or self.temperature < 0:
            raise ValueError(
                "tries, parallel and max_tokens must be at least 1, timeout positive, temperature not negative"
            )
        if self.key_env and self.key_env not in os.environ:
            raise ValueError(f"the environment variable {self.key_env} (key_env) is not set")

    def improve(self, places: Sequence[Place], desk: Desk) -> list[Attempt | None]:
        """The server's answer at every place; None where it is empty or refused (status 400, 413 or 422).

        Raises:
            HoneError: the server is down, too slow, lets nobody in, refuses all places, or answers nothing anywhere.
        """
        failed = Event()

        def ask(place: Place) -> str | _Refusal:
            # Places begin in order, so one that is not begun comes after the one whose failure is raised.
            if failed.is_set():
                raise CancelledError
            try:
                return self._ask(place.messages())
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(self.parallel) as pool:
            waiting = [pool.submit(ask, place) for place in places]
            try:
                found = [each.result() for each in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        refusals = [each.reason for each in found if isinstance(each, _Refusal)]
        if places and len(refusals) == len(places):
            raise HoneError(
                "the teacher refuses every question",
                where=self.url,
                got=f"{len(refusals)} refusals; the first: {refusals[0]}",
                do="look at rounds.improver: model, max_tokens and the server's context",
            )
        texts = [None if isinstance(each, _Refusal) else each for each in found]
        if places and not any(text and text.strip() for text in texts):
            raise HoneError(
                "the teacher answered nothing", where=self.url, got=f"{len(places)} empty answers or refusals"
            )
        return desk.written(places, texts, "teacher")

    def _ask(self, messages: Sequence[Mapping[str, Any]]) -> str | _Refusal:
        """The content of one answer; asked again where that may help."""
        for attempt in range(1, self.tries + 1):
            try:
                return self._once(messages)
            except (OSError, HTTPException, _MalformedError) as error:  # URLError and timeouts are OSErrors
                status = error.code if isinstance(error, urllib.error.HTTPError) else 0
                if status in _REFUSED:
                    return _Refusal(_reason(error, self.timeout))
                if (status and status not in _WORTH_ANOTHER_TRY) or attempt == self.tries:
                    raise HoneError(
                        "the teacher does not answer",
                        where=f"{self.url}, try {attempt} of {self.tries}",
                        got=_reason(error, self.timeout),
                        do="start the server or mend the address, then add --resume: finished parts are kept",
                    ) from error
                _pause(min(0.5 * 2**attempt, _LONGEST_WAIT))
        raise AssertionError

    def _once(self, messages: Sequence[Mapping[str, Any]]) -> str:
        body = {
            "model": self.model,
            "messages": list(messages),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        headers = {"Content-Type": "application/json"}
        if self.key_env:
            headers["Authorization"] = f"Bearer {os.environ[self.key_env]}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=self.timeout) as response:
            raw = response.read()
        try:
            content = json.loads(raw)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError) as error:
            raise _MalformedError(f"no chat completion: {raw[:80].decode(errors='replace')!r}") from error
        return str(content or "")


class _MalformedError(Exception):
    """A body that is no chat completion."""


class _Refusal(NamedTuple):
    """Why a conversation gets no answer."""

    reason: str


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code}: {error.read()[:200].decode(errors='replace')}"
    cause = getattr(error, "reason", error)
    return f"nothing within {timeout:g} s" if isinstance(cause, TimeoutError) else str(cause) or type(cause).__name__
