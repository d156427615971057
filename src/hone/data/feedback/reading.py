"""Feedback from wherever it lies: a feedback database, a file, a folder, the hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hone.core.errors import HoneError
from hone.core.feedback import Comparison, Demonstration, Label, Rating, comparisons_of
from hone.core.records import Record
from hone.data.feedback.entries import Entry, content_id, digest, from_record
from hone.data.feedback.layouts import Dialogues, row_labels
from hone.data.sources import read_rows

DATABASES = (".db", ".sqlite", ".sqlite3")
"""How the name of a SQLite file ends."""


@dataclass(frozen=True)
class Feedback:
    """Labels from a source.

    Attributes:
        entries: in their order, each with an id made from what it says.
        left_out: the rows that make no label: (where, why).
    """

    entries: Sequence[Entry]
    left_out: Sequence[tuple[str, str]] = field(default_factory=list)

    @property
    def labels(self) -> list[Label]:
        """What was said and stands."""
        return [entry.label for entry in self.entries if not entry.undone]

    @property
    def comparisons(self) -> list[Comparison]:
        """Comparisons, and rankings as all their pairs; ties among them."""
        return comparisons_of(self.labels)

    @property
    def ratings(self) -> list[Rating]:
        """Thumbs and scores."""
        return [label for label in self.labels if isinstance(label, Rating)]

    @property
    def demonstrations(self) -> list[Demonstration]:
        """Answers that people wrote or corrected."""
        return [label for label in self.labels if isinstance(label, Demonstration)]


def read_feedback(
    source: str,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    dialogues: Dialogues = "messages",
) -> Feedback:
    """Every label of a source; rows that make none (an empty answer, the same answer twice) are left out and named.

    Args:
        source: a feedback database (``.db``, ``.sqlite`` or a URL), or what
            :func:`hone.core.records.read_records` reads: a file, a folder, a hub data set. Layouts:
            :mod:`hone.data.feedback.layouts`.
        split: of a folder or hub data set (default ``train``).
        columns: the data's name for each of hone's.
        dialogues: what ``\\n\\nHuman:`` dialogues become.

    Raises:
        HoneError: no such source, not readable, or not one row of it makes a label (says why of the first).
    """
    if is_database(source):
        from hone.data.feedback.store import FeedbackStore

        store = FeedbackStore(source, create=False)
        try:
            return Feedback(store.entries(undone=True))
        finally:
            store.close()
    rows = read_rows(source, split=split, columns=columns)
    feedback = entries_of(rows, source, dialogues)
    if not feedback.entries:
        where, why = feedback.left_out[0]
        raise HoneError(f"no row makes a label; the first: {why}", where=where)
    return feedback


def entries_of(rows: Iterable[Record], source: str, dialogues: Dialogues = "messages") -> Feedback:
    """Rows of any known layout as entries.

    The id of a row without one is made from what it says and how often that stood before it, so that importing a
    file twice stores it once while equal rows of one file stay apart.
    """
    entries: list[Entry] = []
    left_out: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        try:
            own = from_record(row) if {"kind", "answers"} <= row.keys() else None
            labels = [own.label] if own else row_labels(row, dialogues)
        except HoneError as error:
            left_out.append((f"{source}, record {number}", str(error)))
            continue
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:  # a column of another type
            left_out.append(
                (f"{source}, record {number}", f"a column holds something else than its name says: {error}")
            )
            continue
        for label in labels:
            said = content_id(label)
            seen[said] = seen.get(said, 0) + 1
            name = digest(said, seen[said])
            if own is None:
                entries.append(Entry(label, name))
            else:
                entries.append(Entry(label, own.id or name, own.item, own.shown, own.created, own.undone))
    return Feedback(entries, left_out)


def is_database(source: str) -> bool:
    """A database URL, or a name that ends like a SQLite file."""
    return "://" in source or source.endswith(DATABASES)
