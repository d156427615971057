"""A label with its identity, as it stands in a database and in files: who, when, which question, shown where."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Demonstration, Label, Ranking, Rating, Skip, Text
from hone.core.records import Record

KINDS = {Comparison: "comparison", Ranking: "ranking", Rating: "rating", Demonstration: "demonstration", Skip: "skip"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A label and what a database keeps beside it.

    Attributes:
        label: what was said.
        id: made by whoever enters the label; storing the same id again changes nothing.
        item: the question it answers, so that it is not asked again; "" if nobody asked.
        shown: the place on the page of each of :func:`parts` (0 is left); () if unknown.
        created: when, ISO 8601 in UTC.
        undone: when it was taken back; "" if it stands.
    """

    label: Label
    id: str
    item: str = ""
    shown: tuple[int, ...] = ()
    created: str = ""
    undone: str = ""


def now() -> str:
    """This moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def digest(*parts: Any) -> str:
    """128 bits of BLAKE2b of plain values, as 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _short(name: Any) -> str:
    """An id of at most 64 characters: a longer one becomes its digest."""
    text = str(name or "")
    return text if len(text) <= 64 else digest(text)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value)


def parts(label: Label) -> tuple[tuple[Answer, int | None], ...]:
    """The answers a label speaks of, each with its rank: 1 is best, None where nothing was said of it.

    Of a demonstration the written answer (rank 1) and the one it corrects (rank 2).
    """
    if isinstance(label, Comparison):
        return ((label.chosen, 1), (label.rejected, 1 if label.tie else 2))
    if isinstance(label, Ranking):
        return tuple(zip(label.answers, label.ranks, strict=True))
    if isinstance(label, Rating):
        return ((label.answer, None),)
    if isinstance(label, Demonstration):
        return ((label.answer, 1), *(((label.corrected, 2),) if label.corrected else ()))
    return tuple((answer, None) for answer in label.answers)


def content_id(label: Label) -> str:
    """A digest of everything a label says."""
    said = [[a.text, a.model, a.checkpoint, rank] for a, rank in parts(label)]
    value = [label.thumb, label.score] if isinstance(label, Rating) else []
    margin = label.margin if isinstance(label, Comparison) else None
    return digest(KINDS[type(label)], label.prompt, said, label.annotator, value, margin)


def make_label(
    kind: str,
    prompt: Text,
    answers: tuple[Answer, ...],
    ranks: tuple[int | None, ...],
    annotator: str,
    thumb: bool | None = None,
    score: float | None = None,
    margin: float | None = None,
) -> Label:
    """The inverse of :func:`parts`.

    Raises:
        HoneError: an unknown kind, or answers and ranks that do not make one.
    """
    given = tuple(rank for rank in ranks if rank is not None)
    if kind == "comparison" and len(answers) == 2 and len(given) == 2 and given[0] <= given[1]:
        return Comparison(prompt, answers[0], answers[1], given[0] == given[1], annotator, margin)
    if kind == "ranking" and len(given) == len(answers):
        return Ranking(prompt, answers, given, annotator)
    if kind == "rating" and len(answers) == 1:
        return Rating(prompt, answers[0], thumb, score, annotator)
    if kind == "demonstration" and 1 <= len(answers) <= 2:
        return Demonstration(prompt, answers[0], answers[1] if len(answers) == 2 else None, annotator)
    if kind == "skip":
        return Skip(prompt, answers, annotator)
    got = f"kind {kind!r}, {len(answers)} answers, ranks {list(ranks)}"
    raise HoneError("this makes no label", got=got, expected=f"one of: {', '.join(KINDS.values())}")


def to_record(entry: Entry) -> Record:
    """An entry as plain values: ``prompt`` or ``prompt_messages``; of each answer ``text`` or ``messages``."""
    label = entry.label
    shown = entry.shown or (None,) * len(parts(label))
    record: Record = {
        "kind": KINDS[type(label)],
        "id": entry.id,
        "annotator": label.annotator,
        "created": entry.created,
        "item": entry.item,
        "undone": entry.undone,
        **_split(label.prompt, "prompt", "prompt_messages"),
        "answers": [
            {
                **_split(answer.text, "text", "messages"),
                "model": answer.model,
                "checkpoint": answer.checkpoint,
                "also": [{"model": m, "checkpoint": c} for m, c in answer.also] or None,
                "rank": rank,
                "shown": place,
            }
            for (answer, rank), place in zip(parts(label), shown, strict=True)
        ],
        "thumb": label.thumb if isinstance(label, Rating) else None,
        "score": label.score if isinstance(label, Rating) else None,
        "margin": label.margin if isinstance(label, Comparison) else None,
    }
    return record


def from_record(record: Mapping[str, Any]) -> Entry:
    """The inverse of :func:`to_record`.

    Raises:
        HoneError: a column is missing or holds something else.
    """
    try:
        rows = list(record["answers"])
        answers = tuple(
            Answer(_joined(row, "text", "messages"), *_names(row), tuple(map(_names, row.get("also") or ())))
            for row in rows
        )
        label = make_label(
            str(record["kind"]),
            _joined(record, "prompt", "prompt_messages"),
            answers,
            tuple(row.get("rank") for row in rows),
            record.get("annotator") or "",
            record.get("thumb"),
            record.get("score"),
            record.get("margin"),
        )
        shown = tuple(int(row["shown"]) for row in rows if row.get("shown") is not None)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise HoneError("this record is no label of hone", got=f"{type(error).__name__}: {error}") from error
    return Entry(
        label,
        _short(record.get("id")),
        _short(record.get("item")),
        shown if len(shown) == len(answers) else (),
        str(record.get("created") or "")[:32],
        str(record.get("undone") or "")[:32],
    )


def _names(row: Mapping[str, Any]) -> tuple[str, str]:
    return row.get("model") or "", row.get("checkpoint") or ""


def _split(text: Text, plain: str, messages: str) -> dict[str, Any]:
    """Two columns, one of them empty: a Parquet column has one type."""
    if isinstance(text, str):
        return {plain: text, messages: None}
    return {plain: None, messages: [dict(m) for m in text]}


def _joined(row: Mapping[str, Any], plain: str, messages: str) -> Text:
    if row.get(messages) is not None:
        # Parquet fills keys that only other messages have with None.
        return tuple({k: v for k, v in m.items() if v is not None} for m in row[messages])
    text = row[plain]
    if not isinstance(text, str):
        raise TypeError(f"{plain} is {type(text).__name__}")
    return text
