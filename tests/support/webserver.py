"""A running ``hone ui`` and people who use it over HTTP, without a browser."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

T = TypeVar("T")


class Server:
    """A child process that serves; it can be killed and started again at the same address."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, list(options)
        self.port = 0
        self.url = ""
        self.start()

    def start(self) -> None:
        words = [sys.executable, "-m", "hone", "ui", "--port", str(self.port), *self.options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                words,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.folder,
                env=environment,
                text=True,
                # ignored where a shell has started the tests in the background
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("http://"):
                self.url = line.strip()
                self.port = urlsplit(self.url).port or 0
                return
        raise RuntimeError((self.folder / "server.log").read_text())

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    server = Server(folder, *options)
    try:
        yield server
    finally:
        server.stop()


class NotServedError(Exception):
    """The server says that it cannot, now."""


class Person:
    """Somebody with a name and a connection; every reply is (status, headers, text)."""

    def __init__(self, port: int, name: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.port, self.name = port, name
        self.headers = {**({"Cookie": f"hone_annotator={quote(name)}"} if name else {}), **(headers or {})}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def close(self) -> None:
        self.connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, Mapping[str, str], str]:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: Mapping[str, str] | bytes, **headers: str) -> tuple[int, Mapping[str, str], str]:
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        return self._ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded", **headers})

    def question(self, ask: str = "compare") -> dict[str, str]:
        """The hidden fields of the next question; empty if there is none."""
        return form_of(self.served(f"/label/{ask}"))

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], str]:
        try:
            self.connection.request(method, path, body, {**self.headers, **headers})
            reply = self.connection.getresponse()
            answer = reply.status, dict(reply.getheaders()), reply.read().decode()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise
        return answer

    def served(self, path: str, fields: Mapping[str, str] | None = None) -> str:
        """The text of a page, or what is said of a post; raises where the server says that it cannot."""
        status, _, text = self.get(path) if fields is None else self.post(path, fields)
        if status >= 500:
            raise NotServedError(text)
        assert status in (200, 303), text
        return text


def form_of(page: str) -> dict[str, str]:
    """The hidden fields of a page."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
    return {name: unescape(value) for name, value in found}


def patiently(ask: Callable[[], T], rng: random.Random, seconds: float = 60) -> T:
    """What a request gives in the end: somebody presses again when a page does not load, each time after a longer wait.

    Of many people who come back at once each draws its own wait; else they would keep the server from starting.
    """
    until, pause = time.monotonic() + seconds, 0.05
    while True:
        try:
            return ask()
        except (OSError, http.client.HTTPException, NotServedError):
            if time.monotonic() > until:
                raise
        time.sleep(pause * rng.uniform(0.5, 1.5))
        pause = min(2 * pause, 2.0)


def write_answers(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def two_models(count: int, **more: Any) -> list[dict[str, Any]]:
    """Prompts with an answer of each of two models; that of "good" says so."""
    return [
        {
            "prompt": f"question {i}",
            "answers": [
                {"text": f"good answer {i}", "model": "good", "checkpoint": "step-2"},
                {"text": f"bad answer {i}", "model": "bad"},
            ],
            **more,
        }
        for i in range(count)
    ]
