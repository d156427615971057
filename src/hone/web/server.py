"""Serving: an address that is free, and a word on where to look."""

from __future__ import annotations

import contextlib
import errno
import re
import secrets
import socket

from hone.core.errors import HoneError
from hone.web.app import LIMIT, create_app
from hone.web.desk import Desk
from hone.web.security import LOOPBACK


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        HoneError: there is no such port, it is taken, or the address is not this machine's.
    """
    if not 0 <= port <= 65535:
        raise HoneError("there is no such port", got=str(port), expected="0 (any free one) to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # The protocol must be named: asyncio turns Nagle's algorithm off (40 ms a page) only where it sees TCP.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, port))
            found.listen(256)
        except OSError:
            found.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise HoneError("the port is in use", where=f"{host}:{port}", do="give another with --port") from error
        raise HoneError("cannot listen", where=f"{host}:{port}", got=error.strerror or str(error)) from error
    return found


def token_for(host: str, given: str | None) -> str | None:
    """The token to ask for: the one given, a new one for an address that others can reach, none on loopback.

    Raises:
        HoneError: a token that is short or would have to be quoted.
    """
    if given is not None and not re.fullmatch(r"[\w-]{8,128}", given, re.ASCII):
        raise HoneError(
            "this is no token", expected="8 to 128 letters, digits, - or _", do="leave --token out for a new one"
        )
    if given is None and host not in LOOPBACK:
        return secrets.token_urlsafe(24)
    return given


def serve(desk: Desk, host: str, port: int, token: str | None, limit: int = LIMIT) -> None:
    """Serve until interrupted; says the address first.

    Raises:
        HoneError: see :func:`bind` and :func:`token_for`.
    """
    import uvicorn

    token = token_for(host, token)
    listening = bind(host, port)
    port = listening.getsockname()[1]
    hosts = LOOPBACK if host in LOOPBACK else None
    app = create_app(desk, token=token, hosts=hosts, limit=limit)
    name = f"[{host}]" if ":" in host else host if host not in ("0.0.0.0", "::") else socket.gethostname()
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5
    )
    try:
        # Ctrl-C is how this command ends; it is no failure.
        with contextlib.suppress(KeyboardInterrupt):
            print(f"http://{name}:{port}/" + (f"?token={token}" if token else ""), flush=True)
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()
        desk.store.close()
