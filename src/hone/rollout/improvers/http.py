"""A teacher behind an OpenAI-compatible HTTP server (vLLM, llama.cpp, ``transformers serve``, hosted ones)."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import sleep as _pause
from typing import Any

from hone.core.errors import HoneError
from hone.data.attempts import Attempt
from hone.rollout.improvers.base import Desk, Place

_WORTH_ANOTHER_TRY = {408, 409, 425, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 30.0


@dataclass(frozen=True)
class Http:
    """One chat completion of a server at every place.

    What comes back is written down with the rows of the round, so a resumed run never asks again for what it has; the
    server itself need not be deterministic.

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
        """The server's answer at every place; None where it is empty.

        Raises:
            HoneError: the server is down, too slow, refuses, or answers nothing anywhere.
        """
        with ThreadPoolExecutor(self.parallel) as pool:
            waiting = [pool.submit(self._ask, place.messages()) for place in places]
            try:
                texts = [each.result() for each in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if places and not any(text.strip() for text in texts):
            raise HoneError("the teacher answered nothing", where=self.url, got=f"{len(places)} empty answers")
        return desk.written(places, texts, "teacher")

    def _ask(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The content of one answer; asked again where that may help."""
        for attempt in range(1, self.tries + 1):
            try:
                return self._once(messages)
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                refused = isinstance(error, urllib.error.HTTPError) and error.code not in _WORTH_ANOTHER_TRY
                if refused or attempt == self.tries:
                    raise HoneError(
                        "the teacher does not answer",
                        where=f"{self.url}, try {attempt} of {self.tries}",
                        got=_reason(error, self.timeout),
                        do="start the server or mend the address, then add --resume: what was answered is kept",
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
            raise HoneError(
                "this is no chat completion",
                where=address,
                got=repr(raw[:80].decode(errors="replace")),
                expected='{"choices": [{"message": {"content": ...}}]}',
            ) from error
        return str(content or "")


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code}: {error.read()[:200].decode(errors='replace')}"
    cause = getattr(error, "reason", error)
    return f"nothing within {timeout:g} s" if isinstance(cause, TimeoutError) else str(cause)
