"""Labels as rows of a database: inserting those that are not there yet, and reading them back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from hone.core.feedback import Answer, Comparison, Rating, Text
from hone.data.feedback.entries import KINDS, Entry, digest, make_label, now, parts
from hone.data.feedback.schema import ANSWERS, LABEL_ANSWERS, LABELS, OTHERS, PROMPTS

T = TypeVar("T")

BATCH = 200
"""Labels that go into the database in one statement."""
MOST_VALUES = 16_000
"""Values of one query; SQLite takes 32,766 and PostgreSQL 65,535."""


def insert_entries(
    connection: sa.Connection, entries: Sequence[Entry], known: MutableMapping[str, int] | None = None
) -> set[str]:
    """Insert labels; returns the ids of those that were new: whose id was not there, nor their annotator's standing
    answer to their item.

    Args:
        connection: of the transaction.
        entries: what to insert.
        known: row of each digest of a prompt or an answer that needs no looking up; the others are added.
    """
    known = {} if known is None else known
    return {name for part in pieces(entries) for name in _insert(connection, part, known)}


def pieces(values: Iterable[T], most: int = BATCH) -> Iterator[list[T]]:
    """Values by the batch: a statement takes only so many."""
    rest = iter(values)
    while part := list(islice(rest, most)):
        yield part


def read_entries(connection: sa.Connection, condition: Any) -> Iterator[Entry]:
    """The labels of a condition on ``hone_labels``, in the order of entry."""
    joined = (
        sa.select(LABEL_ANSWERS, ANSWERS.c.content, ANSWERS.c.model, ANSWERS.c.checkpoint)
        .join(ANSWERS, ANSWERS.c.id == LABEL_ANSWERS.c.answer_id)
        .join(LABELS, LABELS.c.id == LABEL_ANSWERS.c.label_id)
        .where(condition)
        .order_by(LABEL_ANSWERS.c.label_id, LABEL_ANSWERS.c.place)
    )
    answers: dict[int, list[Any]] = {}
    others: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for row in connection.execute(joined):
        if row.place < OTHERS:
            answers.setdefault(row.label_id, []).append(row)
        else:
            others.setdefault((row.label_id, row.place % OTHERS), []).append((row.model, row.checkpoint))
    query = (
        sa.select(LABELS, PROMPTS.c.content)
        .join(PROMPTS, PROMPTS.c.id == LABELS.c.prompt_id)
        .where(condition)
        .order_by(LABELS.c.id)
    )
    for row in connection.execute(query):
        rows = answers.get(row.id, [])
        label = make_label(
            row.kind,
            from_json(row.content),
            tuple(
                Answer(from_json(a.content), a.model, a.checkpoint, tuple(others.get((row.id, a.place), ())))
                for a in rows
            ),
            tuple(a.rank for a in rows),
            row.annotator,
            row.thumb,
            row.score,
            row.margin,
        )
        shown = tuple(a.shown for a in rows if a.shown is not None)
        yield Entry(label, row.submission, row.item, shown, row.created, row.undone or "")


def _insert(connection: sa.Connection, entries: Sequence[Entry], known: MutableMapping[str, int]) -> set[str]:
    prompts = [{"digest": digest(entry.label.prompt), "content": to_json(entry.label.prompt)} for entry in entries]
    _insert_once(connection, PROMPTS, prompts, known)
    answers: list[dict[str, Any]] = []
    links: list[tuple[str, str, dict[str, Any]]] = []
    for entry, prompt in zip(entries, prompts, strict=True):
        for i, (answer, rank) in enumerate(parts(entry.label)):
            shown = entry.shown[i] if entry.shown else None
            for n, (model, checkpoint) in enumerate(((answer.model, answer.checkpoint), *answer.also)):
                name = digest(prompt["digest"], answer.text, model, checkpoint)
                row = {"digest": name, "prompt_id": known[prompt["digest"]], "content": to_json(answer.text)}
                answers.append({**row, "model": storable(model), "checkpoint": storable(checkpoint)})
                link = {"place": i + n * OTHERS, "rank": rank, "shown": shown if n == 0 else None}
                links.append((entry.id, name, link))
    _insert_once(connection, ANSWERS, answers, known)
    rows = [
        {**label_columns(entry), "prompt_id": known[prompt["digest"]]}
        for entry, prompt in zip(entries, prompts, strict=True)
    ]
    insert = insert_or_nothing(connection, LABELS).returning(LABELS.c.submission, LABELS.c.id)
    new = {row.submission: row.id for row in connection.execute(insert, rows)}
    linked = [{"label_id": new[name], "answer_id": known[what], **link} for name, what, link in links if name in new]
    if linked:
        connection.execute(LABEL_ANSWERS.insert(), linked)
    return set(new)


def label_columns(entry: Entry) -> dict[str, Any]:
    """The row of ``hone_labels`` but for the prompt."""
    label = entry.label
    rating = label if isinstance(label, Rating) else None
    return {
        "submission": entry.id,
        "kind": KINDS[type(label)],
        "annotator": storable(label.annotator),
        "item": entry.item,
        "created": entry.created or now(),
        "undone": entry.undone or None,
        "thumb": rating.thumb if rating else None,
        "score": rating.score if rating else None,
        "margin": label.margin if isinstance(label, Comparison) else None,
    }


def _insert_once(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]], known: MutableMapping[str, int]
) -> None:
    """Insert rows unless they are there, and learn the id of each digest; in one order, so that no two writers
    deadlock."""
    distinct = {row["digest"]: row for row in rows if row["digest"] not in known}
    known.update(_ids(connection, table, sorted(distinct)))
    # Most are there: the prompts and answers of a page are judged by many people.
    if missing := [distinct[name] for name in sorted(distinct) if name not in known]:
        connection.execute(insert_or_nothing(connection, table), missing)
        known.update(_ids(connection, table, [row["digest"] for row in missing]))


def _ids(connection: sa.Connection, table: sa.Table, names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in pieces(names, MOST_VALUES):
        query = sa.select(table.c.digest, table.c.id).where(table.c.digest.in_(part))
        found |= {row.digest: row.id for row in connection.execute(query)}
    return found


def insert_or_nothing(connection: sa.Connection, table: sa.Table) -> Any:
    """A statement that inserts those of its rows that break no unique index; compiled once, whatever their number."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert

        return insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table).on_conflict_do_nothing()


def storable(text: str) -> str:
    """A name as any database can hold it: without NUL and half surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def to_json(text: Text) -> str:
    """Text or messages as the column ``content`` holds them."""
    value = text if isinstance(text, str) else [dict(m) for m in text]
    found = json.dumps(value, ensure_ascii=False, sort_keys=True)
    try:
        found.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which a model's bytes may decode to
        return json.dumps(value, sort_keys=True)
    return found


def from_json(content: str) -> Text:
    """The inverse of :func:`to_json`."""
    value = json.loads(content)
    return value if isinstance(value, str) else tuple(value)
