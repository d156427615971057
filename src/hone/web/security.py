"""What every request passes first: a known host, the token, a post from our own page, a body of reasonable size.

Text from models is escaped by the templates; the content security policy makes sure that even a mistake there could
run no script and fetch nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from html import escape
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "hone_token"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware.

    Args:
        app: what answers a request that may pass.
        token: whoever does not bring it (once as ``?token=``, then as a cookie) is refused; None asks for none.
        hosts: names under which the server may be called; None allows all. Without a token this keeps a foreign page
            from reaching a loopback server by a name that it made resolve to 127.0.0.1.
        limit: most bytes of a post.
    """

    def __init__(self, app: App, token: str | None, hosts: frozenset[str] | None, limit: int) -> None:
        self.app, self.token, self.hosts, self.limit = app, token, hosts, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self.hosts is not None and _hostname(headers.get("host", "")) not in self.hosts:
            await _refuse(send, 421, "This server answers to its own address only", "Open the address that it printed.")
        elif self.token is not None and not self._known(headers):
            await self._let_in(scope, send)
        elif scope["method"] == "POST" and not _ours(headers):
            await _refuse(send, 403, "This post does not come from our own page", "Nothing was stored.")
        elif scope["method"] == "POST" and not headers.get("content-length", "").isdecimal():
            await _refuse(send, 411, "A post must say how long it is", "Nothing was stored.")
        elif scope["method"] == "POST" and int(headers["content-length"]) > self.limit:
            if int(headers["content-length"]) <= 64 * self.limit:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(_drain(receive), 10)
            size = f"{int(headers['content-length']):,} bytes; at most {self.limit:,} are taken"
            await _refuse(send, 413, "This post is too large", f"{size}. Nothing was stored: go back and shorten it.")
        elif scope["method"] not in ("GET", "HEAD", "POST"):
            await _refuse(send, 405, "Only GET and POST are answered", "")
        else:
            await self.app(scope, receive, send)

    def _known(self, headers: dict[str, str]) -> bool:
        cookie = SimpleCookie()
        try:
            cookie.load(headers.get("cookie", ""))
        except Exception:  # a malformed cookie is no cookie
            return False
        return COOKIE in cookie and self._right(cookie[COOKIE].value)

    def _right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self.token or "").encode())

    async def _let_in(self, scope: Scope, send: Send) -> None:
        """Somebody without the cookie: with the token in the address the cookie is set and the address cleaned."""
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        if scope["method"] == "GET" and any(name == "token" and self._right(value) for name, value in query):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            where = "/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else "")
            cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000"
            # SameSite=Strict cookies are not sent on a redirect that began elsewhere (a link in a mail), so the
            # page itself goes on.
            link = escape(where)
            body = f'<!doctype html><meta http-equiv="refresh" content="0;url={link}"><a href="{link}">on</a>'
            await _respond(send, 200, body, [("set-cookie", cookie)])
        else:
            await _refuse(send, 401, "This page needs its token", "Open the whole address that the server printed.")


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "") if host else ""
    except ValueError:  # no host at all
        return ""


def _ours(headers: dict[str, str]) -> bool:
    """The post was sent by a page of this server, or by a program that is no browser."""
    origin = headers.get("origin")
    if origin is not None:
        try:
            sender = urlsplit(origin).netloc
        except ValueError:  # no address at all
            return False
        return bool(sender) and sender == headers.get("host", "")
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message.get("headers", [])}
            extra = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in given]
            message["headers"] = [*message.get("headers", []), *extra]
        await send(message)

    return wrapped


async def _drain(receive: Receive) -> None:
    """Read what is still coming, so that a browser shows the answer instead of a broken connection."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass


async def _refuse(send: Send, status: int, title: str, detail: str) -> None:
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<style>:root{color-scheme:light dark}body{font:16px/1.55 system-ui,sans-serif;margin:12vh auto;"
        f"max-width:30rem;padding:0 1.5rem}}</style><title>{escape(title)}</title>"
        f"<h1>{escape(title)}</h1><p>{escape(detail)}</p></html>"
    )
    await _respond(send, status, body, [])


async def _respond(send: Send, status: int, body: str, headers: list[tuple[str, str]]) -> None:
    data = body.encode()
    sent = [("content-type", "text/html; charset=utf-8"), ("content-length", str(len(data))), *headers]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent],
        }
    )
    await send({"type": "http.response.body", "body": data})
