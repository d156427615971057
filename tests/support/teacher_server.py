"""A server on loopback that speaks OpenAI's chat completions, well or badly."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any], int], tuple[int, bytes]]
"""(body of the request, its number from 1) to (status, body)."""


def says(text: str | None) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Teacher:
    """Requests that came, and the address."""

    def __init__(self, url: str) -> None:
        self.url, self.requests = url, list[tuple[dict[str, Any], dict[str, str]]]()


@contextmanager
def serving(answer: Answer, delay: float = 0.0) -> Iterator[Teacher]:
    """A server that answers by a function, after a delay."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            teacher.requests.append((body, dict(self.headers)))
            time.sleep(delay)
            status, text = answer(body, len(teacher.requests)) if self.path == "/v1/chat/completions" else (404, b"")
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client did not wait

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    teacher = Teacher(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield teacher
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
