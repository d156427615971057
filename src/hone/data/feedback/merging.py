"""Labels from elsewhere (another database, a file) beside those that are here: nothing that was said is dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from hone.core.errors import HoneError
from hone.data.feedback.entries import Entry, content_id
from hone.data.feedback.rows import insert_entries, pieces, read_entries, storable
from hone.data.feedback.schema import LABELS, STANDS


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of labels from elsewhere.

    Attributes:
        new: stored.
        beside: of them, those that contradict (or repeat in other words) what the same person said here to the same
            question: kept beside it.
        known: here already.
        taken_back: of them, those that stood here and had been taken back there.
    """

    new: int = 0
    beside: int = 0
    known: int = 0
    taken_back: int = 0

    def __add__(self, other: Merged) -> Merged:
        return Merged(
            self.new + other.new,
            self.beside + other.beside,
            self.known + other.known,
            self.taken_back + other.taken_back,
        )


def by_id(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The first entry of each id, taken back if any of them is.

    Raises:
        HoneError: one has no id.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        first = found.setdefault(entry.id, entry)
        if entry.undone and not first.undone:
            found[entry.id] = replace(first, undone=entry.undone)
    if "" in found:
        raise HoneError("a label without an id cannot be stored", do="give each submission an id of its own")
    return found


def merge_entries(connection: sa.Connection, rows: Mapping[str, Entry]) -> Merged:
    """Store labels by their ids, see :meth:`hone.data.feedback.store.FeedbackStore.merge`."""
    here = _undone(connection, rows)
    back = [name for name, undone in here.items() if rows[name].undone and not undone]
    for name in back:
        connection.execute(LABELS.update().where(LABELS.c.submission == name).values(undone=rows[name].undone))
    missing = [entry for name, entry in rows.items() if name not in here]
    new = insert_entries(connection, missing)
    contrary = [entry for entry in missing if entry.id not in new]
    said = _said(connection, contrary)
    other = [e for e in contrary if said.get((storable(e.label.annotator), e.item)) != content_id(e.label)]
    beside = insert_entries(connection, [replace(entry, item="") for entry in other])
    stored = len(new) + len(beside)
    return Merged(stored, len(beside), len(rows) - stored, len(back))


def _undone(connection: sa.Connection, names: Iterable[str]) -> dict[str, str | None]:
    """Of the labels with these ids that are there: when they were taken back."""
    found: dict[str, str | None] = {}
    for part in pieces(names):
        query = sa.select(LABELS.c.submission, LABELS.c.undone).where(LABELS.c.submission.in_(part))
        found |= {row.submission: row.undone for row in connection.execute(query)}
    return found


def _said(connection: sa.Connection, entries: Sequence[Entry]) -> dict[tuple[str, str], str]:
    """What stands of these annotators on these items: a digest of each."""
    found: dict[tuple[str, str], str] = {}
    who = {storable(entry.label.annotator) for entry in entries}
    for part in pieces({entry.item for entry in entries}):
        asked = sa.and_(LABELS.c.annotator.in_(who), LABELS.c.item.in_(part))
        for entry in read_entries(connection, sa.and_(asked, STANDS)):
            found[entry.label.annotator, entry.item] = content_id(entry.label)
    return found
