"""What the routes of a server share: the store, the questions, who has answered what."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from hone.data.feedback.answered import Answered
from hone.data.feedback.entries import Entry
from hone.data.feedback.questions import ASKS, Ask, Question, Questions
from hone.data.feedback.store import FeedbackStore

PATIENCE = 4
"""A page that took a second to make is shown for four seconds although something has changed."""


@dataclass(frozen=True)
class _Made:
    stamp: Any
    value: Any
    good_until: float


class Desk:
    """State of a server. Everything in it can be made again from the database: a restart loses nothing.

    Args:
        store: where labels go.
        questions: what is asked.
        runs: the folder whose run directories are shown.
    """

    def __init__(self, store: FeedbackStore, questions: Questions, runs: Path) -> None:
        self.store, self.questions, self.runs = store, questions, runs
        self._answered: dict[str, Answered] = {}
        self._undone = 0
        self._last: dict[str, str] = {}
        self._anybodys = Answered(questions, store.answered())
        self._lock = threading.Lock()
        self._made: OrderedDict[str, _Made] = OrderedDict()
        self._making, self._drawing = threading.Lock(), threading.Lock()
        self._templates = jinja2.Environment(
            loader=jinja2.ChoiceLoader(
                [jinja2.PackageLoader("hone.web", "templates"), jinja2.PackageLoader("hone.report", ".")]
            ),
            autoescape=True,
            auto_reload=False,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["svg"] = Markup

    def next(self, annotator: str, ask: Ask, wanted: str = "") -> tuple[Question | None, int, int]:
        """The question to ask a person (the one called ``wanted`` if it is still to be answered; None if there is
        none), how many of the kind they have answered, and of how many in all."""
        asked = self.questions.by_id.get(wanted)
        with self._lock:
            mine = self._mine(annotator)
            if asked is None or asked.ask != ask or wanted in mine.ids:
                asked = mine.next(ask, self._anybodys)
            return asked, *mine.progress(ask, self._anybodys)

    def has_answered(self, annotator: str, item: str) -> bool:
        """Whether a person's answer to a question stands."""
        with self._lock:
            return item in self._mine(annotator).ids

    def add(self, entry: Entry) -> bool:
        """Store a label; whether it was new."""
        undone, annotator, item = self._undone, entry.label.annotator, entry.item
        new = self.store.add(entry)
        with self._lock:
            # Here already, or perhaps taken back since: the database knows whether the question is answered.
            stands = (new and undone == self._undone) or self.store.stands(annotator, item)
            if stands:
                self._anybodys.add(item)
                if annotator in self._answered:  # else it is read from the database when it is asked for
                    self._answered[annotator].add(item)
            elif annotator in self._answered and item in self._answered[annotator].ids:
                self._answered.pop(annotator)
            self._last.pop(annotator, None)
            if new and stands:
                self._last[annotator] = entry.id
        return new

    def last(self, annotator: str) -> str:
        """The id of a person's latest label that stands; "" if there is none."""
        with self._lock:
            if annotator not in self._last:
                self._last[annotator] = self.store.last(annotator)
            return self._last[annotator]

    def undo(self, annotator: str, last: str = "") -> Entry | None:
        """Take back a person's last label; with an id just that one, so that asking twice takes back one."""
        taken = self.store.undo(annotator, last)
        with self._lock:
            self._undone += 1
            self._last.pop(annotator, None)
            self._answered.clear()
            self._anybodys = Answered(self.questions, self.store.answered())
        return taken

    def _mine(self, annotator: str) -> Answered:
        """What a person has answered; all of it is among what anyone has."""
        if annotator not in self._answered:
            self._answered[annotator] = Answered(self.questions, self.store.answered(annotator))
            for name in self._answered[annotator].ids:
                self._anybodys.add(name)
        return self._answered[annotator]

    def once(self, what: str, stamp: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` gave for this stamp; the last one for a while if making it takes long.

        Charts are drawn by one thread at a time, because matplotlib's style is global.
        """
        with self._making if what in ("arena", "people") else self._drawing:
            made = self._made.get(what)
            if made is None or (made.stamp != stamp and time.monotonic() > made.good_until):
                began = time.monotonic()
                value = make()
                ended = time.monotonic()
                made = self._made[what] = _Made(stamp, value, ended + PATIENCE * (ended - began))
                while len(self._made) > 256:
                    self._made.popitem(last=False)
            return made.value

    def page(self, request: Request, template: str, code: int = 200, /, **values: Any) -> HTMLResponse:
        """A filled template: strings are escaped, whoever wrote them."""
        shared = {"annotator": annotator_of(request), "path": request.url.path, "tabs": self.tabs()}
        text = self._templates.get_template(template).render(**{**shared, **values})
        # A model's bytes may decode to half of a surrogate pair, which no page can hold.
        return HTMLResponse(text.encode("utf-8", "replace"), code)

    def tabs(self) -> list[Ask]:
        """The kinds of question that there are."""
        return [ask for ask in ASKS if self.questions.lists[ask]]


def desk_of(request: Request) -> Desk:
    """The desk of the server that got this request."""
    desk: Desk = request.app.state.desk
    return desk


NAME = "hone_annotator"
"""The cookie with a person's name."""


def annotator_of(request: Request) -> str:
    """The person's name; "" if they have not said it."""
    from urllib.parse import unquote

    return clean_name(unquote(request.cookies.get(NAME, "")))


def clean_name(text: str) -> str:
    """A name of at most 64 printable characters on one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:64]
