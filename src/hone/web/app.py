"""The application: routes behind the guard, errors as pages."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from hone.core.errors import HoneError
from hone.web import label, views
from hone.web.desk import Desk, desk_of
from hone.web.security import App, Guard

LIMIT = 2**20
"""Most bytes of a post."""


def create_app(desk: Desk, *, token: str | None = None, hosts: frozenset[str] | None = None, limit: int = LIMIT) -> App:
    """The ASGI application of a desk.

    Args:
        desk: store, questions, runs.
        token: asked of everyone who comes; None asks for none.
        hosts: names under which the server may be called; None allows all.
        limit: most bytes of a post.
    """
    app = FastAPI(title="hone", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = desk
    app.include_router(label.router)
    app.include_router(views.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    app.add_exception_handler(HoneError, _fault)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)
    return Guard(app, token, hosts, limit)


def _fault(request: Request, error: Exception) -> Response:
    """What a person can mend."""
    return desk_of(request).page(request, "error.html", 400, title="That did not work", message=str(error))


def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return desk_of(request).page(request, "error.html", status, title="That did not work", message=str(error))


def _bug(request: Request, error: Exception) -> Response:
    """Ours to mend: the terminal has the traceback."""
    text = f"{type(error).__name__}; the terminal in which hone ui runs says more"
    return desk_of(request).page(request, "error.html", 500, title="hone has a fault", message=text)
