"""Labels as rows of a database, and inserting rows that may be there already."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from hone.core.feedback import Comparison, Rating, Text
from hone.data.feedback.entries import KINDS, Entry, now


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


def insert_once(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Digest to id of rows that are inserted unless they are there; in one order, so that no two writers deadlock."""
    distinct = {row["digest"]: row for row in rows}
    connection.execute(insert_or_nothing(connection, table, [distinct[name] for name in sorted(distinct)]))
    query = sa.select(table.c.digest, table.c.id).where(table.c.digest.in_(list(distinct)))
    return {row.digest: row.id for row in connection.execute(query)}


def insert_or_nothing(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> Any:
    """A statement that inserts those of the rows that break no unique index."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert

        return insert(table).values(rows).on_conflict_do_nothing()
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table).values(rows).on_conflict_do_nothing()


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
