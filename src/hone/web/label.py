"""Routes of labelling: a question, the answer to it, taking it back."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Demonstration, Label, Ranking, Rating, Skip, answer_text
from hone.data.feedback.entries import Entry, digest
from hone.data.feedback.questions import ASKS, Ask, Question
from hone.web.desk import NAME, annotator_of, clean_name, desk_of

router = APIRouter()


async def fields(request: Request) -> dict[str, str]:
    """The fields of a posted form; files are not taken."""
    form = await request.form(max_files=0, max_fields=64, max_part_size=2**24)
    return {name: value for name, value in form.items() if isinstance(value, str)}


Fields = Annotated[dict[str, str], Depends(fields)]


@router.get("/")
def home(request: Request) -> Response:
    """Where there is something to do."""
    tabs = desk_of(request).tabs()
    first = next((ask for ask in ("compare", "thumb", "write") if ask in tabs), None)
    return RedirectResponse(f"/label/{first}" if first else "/arena", 303)


@router.get("/name")
def ask_name(request: Request, then: str = "/") -> Response:
    """Ask a person's name."""
    return desk_of(request).page(request, "name.html", then=_local(then))


@router.post("/name")
def take_name(form: Fields) -> Response:
    """Remember a person's name in a cookie."""
    name = clean_name(form.get("name", ""))
    if not name:
        return RedirectResponse("/name", 303)
    response = RedirectResponse(_local(form.get("then", "/")), 303)
    response.set_cookie(NAME, quote(name), max_age=31_536_000, httponly=True, samesite="strict")
    return response


@router.get("/label/{ask}")
def question(request: Request, ask: str, item: str = "", answer: int = -1, note: str = "") -> Response:
    """The next question of a kind, or the one called ``item``; ``answer`` is the one to correct."""
    desk, annotator = desk_of(request), annotator_of(request)
    kind = _ask(ask)
    if not annotator:
        return RedirectResponse(f"/name?then={quote(request.url.path, safe='')}", 303)
    asked, done, total = desk.next(annotator, kind, item)
    correcting, named = None, desk.questions.by_id.get(item)
    if kind == "write" and named is not None and 0 <= answer < len(named.answers):
        asked, correcting = named, named.answers[answer]
    shown: dict[str, Any] = {
        "kind": kind,
        "done": done,
        "total": total,
        "note": NOTES.get(note, ""),
        "last": desk.last(annotator),
    }
    if asked is None:
        return desk.page(request, "done.html", **shown)
    order = desk.questions.order(asked, annotator)
    return desk.page(
        request,
        f"{kind}.html",
        **shown,
        question=asked,
        order=order,
        answers=[answer_text(asked.answers[i].text) for i in order],
        correcting=answer_text(correcting.text) if correcting else "",
        answer=answer if correcting else -1,
        submission=uuid.uuid4().hex,
    )


@router.post("/label/{ask}")
def label(request: Request, ask: str, form: Fields) -> Response:
    """Store an answer to a question; the reply comes when it is on the disk."""
    desk, annotator, kind = desk_of(request), annotator_of(request), _ask(ask)
    if not annotator:
        raise HoneError("nobody has said who this is", do="enter your name, then answer again")
    asked = desk.questions.by_id.get(form.get("item", ""))
    submission = form.get("submission", "")
    if asked is None or not 8 <= len(submission) <= 64:
        raise HoneError(
            "this question is not asked here any more; nothing was stored",
            do="reload the page: the server was started again with other questions",
        )
    said, item = _said(kind, asked, form, annotator)
    order = _order(asked, form)
    shown = tuple(order.index(i) for i in _places(said, asked)) if order and item == asked.id else ()
    entry = Entry(said, submission, item, shown)
    try:
        new = desk.add(entry) or (isinstance(said, Demonstration) and desk.add(_another(entry)))
    except HoneError as error:
        return desk.page(request, "retry.html", 503, message=str(error), form=form, kind=kind)
    then = _local(form.get("then") or f"/label/{kind}")
    # undone: a post that came again after its label was taken back
    note = "already" if desk.has_answered(annotator, item) else "undone"
    return RedirectResponse(then if new else f"/label/{kind}?note={note}", 303)


@router.post("/undo")
def undo(request: Request, form: Fields) -> Response:
    """Take back one's own last label, the one that the page named, and show its question again."""
    desk = desk_of(request)
    taken = desk.undo(annotator_of(request), form.get("last", ""))
    if taken is None:
        return RedirectResponse("/", 303)
    asked = desk.questions.by_id.get(taken.item)
    if asked is None:  # a correction, or a question of another day
        back = "write" if isinstance(taken.label, Demonstration) else "compare"
        return RedirectResponse(f"/label/{back}?note=undone", 303)
    return RedirectResponse(f"/label/{asked.ask}?item={asked.id}&note=undone", 303)


NOTES = {
    "undone": "Your last answer was taken back.",
    "already": "You had answered that already; the first answer counts.",
}


def _said(kind: Ask, asked: Question, form: dict[str, str], annotator: str) -> tuple[Label, str]:
    """What the form says, and the id under which it is asked once.

    Raises:
        HoneError: it says nothing that fits the question.
    """
    choice, answers, prompt = form.get("choice", ""), asked.answers, asked.prompt
    order = _order(asked, form)
    if choice == "skip":
        return Skip(prompt, answers, annotator), asked.id
    if kind == "compare" and asked.ask == "compare" and choice in ("first", "second", "tie") and order:
        left, right = (answers[i] for i in order)
        chosen, rejected = (right, left) if choice == "second" else (left, right)
        return Comparison(prompt, chosen, rejected, choice == "tie", annotator), asked.id
    if kind == "rank" and asked.ask == "rank":
        ranks = [form.get(f"rank_{i}", "") for i in range(len(answers))]
        if all(rank.isdecimal() and 1 <= int(rank) <= len(answers) for rank in ranks):
            return Ranking(prompt, answers, tuple(map(int, ranks)), annotator), asked.id
        raise HoneError(
            "not every answer has a rank", got=", ".join(r or "none" for r in ranks), do="go back, rank all"
        )
    if kind == "thumb" and asked.ask == "thumb" and choice in ("up", "down"):
        return Rating(prompt, answers[0], thumb=choice == "up", annotator=annotator), asked.id
    if kind == "write":
        written = Answer(form.get("text", "").replace("\r\n", "\n").strip(), annotator, "written")
        place = form.get("answer", "")
        if place.isdecimal() and int(place) < len(answers):
            corrected = answers[int(place)]
            item = digest("correct", prompt, corrected.text, corrected.model, corrected.checkpoint)
            return Demonstration(prompt, written, corrected, annotator), item
        return Demonstration(prompt, written, None, annotator), asked.id
    raise HoneError("this is no answer to the question", got=f'"{choice}" for {kind}')


def _another(entry: Entry) -> Entry:
    """A second text for the same place, as one more label: what a person wrote is never dropped for being late.

    A post that arrives twice has the same id, and is still stored once.
    """
    assert isinstance(entry.label, Demonstration)
    return replace(entry, item=digest("another", entry.item, entry.label.answer.text))


def _order(asked: Question, form: dict[str, str]) -> tuple[int, ...]:
    """Which answer stood where, as the page said; () if it did not."""
    words = form.get("order", "").split(",")
    order = tuple(int(word) for word in words if word.isdecimal())
    return order if sorted(order) == list(range(len(asked.answers))) else ()


def _places(said: Label, asked: Question) -> list[int]:
    """The index in the question of each answer that the label speaks of, in the label's order."""
    if isinstance(said, Comparison):
        return [asked.answers.index(said.chosen), asked.answers.index(said.rejected)]
    return list(range(len(asked.answers)))


def _ask(text: str) -> Ask:
    for ask in ASKS:
        if ask == text:
            return ask
    raise HoneError("there is no such page", got=f"/label/{text}", expected=f"one of: {', '.join(ASKS)}")


def _local(path: str) -> str:
    """A path on this server: anything else becomes the first page."""
    return path if path.startswith("/") and not path.startswith("//") and "\\" not in path else "/"
