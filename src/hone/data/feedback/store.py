"""The store of labels: what was acknowledged is on the disk, and there exactly once."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import ChainMap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from hone.core.feedback import Comparison, Label, comparisons_of
from hone.data.feedback.entries import Entry, now
from hone.data.feedback.merging import Merged, by_id, merge_entries
from hone.data.feedback.rows import insert_entries, read_entries
from hone.data.feedback.schema import LABELS, STANDS, WAIT, database_error, open_database, shown_name, writing
from hone.data.feedback.verdicts import Verdict, read_verdicts

MOST_KNOWN = 100_000
"""Prompts and answers whose rows are remembered."""


@dataclass(slots=True)
class _Ticket:
    """A label that waits to be written, and what came of it."""

    entry: Entry
    done: bool = False
    new: bool = False
    error: Exception | None = None


class FeedbackStore:
    """Labels in SQLite or PostgreSQL; safe to use from several threads and several processes.

    Args:
        where: a file or a database URL, see :func:`hone.data.feedback.schema.open_database`.
        wait: seconds to wait for another program that holds the database.
        create: make it if it is not there.

    Raises:
        HoneError: the database cannot be opened (every method: used).
    """

    def __init__(self, where: str | Path, wait: float = WAIT, *, create: bool = True) -> None:
        self.where, self.shown = where, shown_name(where)
        self.engine = open_database(where, wait, create=create)
        # Threads of this process queue up here, in order; SQLite's own waiting is a lottery.
        self._one_writer = self.engine.dialect.name == "sqlite"
        self._turn = threading.Lock() if self._one_writer else contextlib.nullcontext()
        self._arriving, self._waiting = threading.Lock(), list[_Ticket]()
        self._known: dict[str, int] = {}

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()

    def add(self, entry: Entry) -> bool:
        """Store a label durably; False (and no change) if its id, or its annotator's answer to its item, is there.

        In SQLite, labels that arrive while another is being written are written together: to be on the disk takes
        about as long for all of them as for one.
        """
        ticket = _Ticket(entry)
        if not self._one_writer or not entry.id:
            return self.add_many([entry]) == 1
        with self._arriving:
            self._waiting.append(ticket)
        with self._turn:
            if not ticket.done:  # else it was written along with somebody else's
                with self._arriving:
                    tickets, self._waiting = self._waiting, []
                self._write(tickets)
        if ticket.error is not None:
            raise ticket.error
        return ticket.new

    def add_many(self, entries: Iterable[Entry]) -> int:
        """Store labels in one transaction, all or none; returns how many were new."""
        rows = list(by_id(entries).values())
        with self._turn:
            return len(self._insert(rows))

    def merge(self, entries: Iterable[Entry]) -> Merged:
        """Store labels from elsewhere (another database, a file) in one transaction, all or none.

        Nothing that was said is dropped: a person's second, other answer to a question stays beside the first, as a
        label that nobody asked for. Taking back travels too: a label that was taken back here or there is so after.
        """
        rows = by_id(entries)
        with self._turn, self._errors(), writing(self.engine) as connection:
            return merge_entries(connection, rows)

    def last(self, annotator: str) -> str:
        """The id of an annotator's latest standing label of the page; "" if there is none."""
        query = sa.select(LABELS.c.submission).where(_standing(annotator)).order_by(LABELS.c.id.desc()).limit(1)
        with self._errors(), self.engine.begin() as connection:
            return connection.execute(query).scalar_one_or_none() or ""

    def undo(self, annotator: str, submission: str = "") -> Entry | None:
        """Take back an annotator's latest standing label of the page; it stays in the database, marked.

        Imported labels answer no question and are not taken back. None if there is nothing.

        Args:
            annotator: whose.
            submission: the label's id, so that a request that arrives twice takes back one label; "" is the latest.
        """
        with self._turn, self._errors(), writing(self.engine) as connection:
            mine = _standing(annotator)
            if submission:
                mine = sa.and_(mine, LABELS.c.submission == submission)
            last = connection.execute(
                sa.select(LABELS.c.id).where(mine).order_by(LABELS.c.id.desc()).limit(1)
            ).scalar_one_or_none()
            if last is None:
                return None
            connection.execute(LABELS.update().where(LABELS.c.id == last).values(undone=now()))
            return next(read_entries(connection, LABELS.c.id == last))

    def entries(self, *, undone: bool = False) -> list[Entry]:
        """Every label in the order of entry; with ``undone`` also those taken back."""
        condition = sa.true() if undone else LABELS.c.undone.is_(None)
        with self._errors(), self.engine.begin() as connection:
            return list(read_entries(connection, condition))

    def labels(self) -> list[Label]:
        """Every standing label."""
        return [entry.label for entry in self.entries()]

    def comparisons(self) -> list[Comparison]:
        """Every comparison, rankings as all their pairs."""
        return comparisons_of(self.labels())

    def stands(self, annotator: str, item: str) -> bool:
        """Whether an annotator's answer to a question is there and was not taken back."""
        query = sa.select(LABELS.c.id).where(LABELS.c.item == item, _standing(annotator)).limit(1)
        with self._errors(), self.engine.begin() as connection:
            return connection.execute(query).first() is not None

    def stamp(self) -> tuple[int, int]:
        """Changes whenever a label is added or taken back: (highest row, number taken back)."""
        with self._errors(), self.engine.begin() as connection:
            row = connection.execute(sa.select(sa.func.max(LABELS.c.id), sa.func.count(LABELS.c.undone))).one()
        return (row[0] or 0, row[1])

    def answered(self, annotator: str | None = None) -> set[str]:
        """The items that an annotator (or anybody) has answered or skipped."""
        condition = STANDS if annotator is None else _standing(annotator)
        with self._errors(), self.engine.begin() as connection:
            return set(connection.execute(sa.select(LABELS.c.item).where(condition).distinct()).scalars())

    def counts(self) -> list[tuple[str, str, int]]:
        """(annotator, kind, how many) of the standing labels."""
        query = (
            sa.select(LABELS.c.annotator, LABELS.c.kind, sa.func.count())
            .where(LABELS.c.undone.is_(None))
            .group_by(LABELS.c.annotator, LABELS.c.kind)
            .order_by(LABELS.c.annotator, LABELS.c.kind)
        )
        with self._errors(), self.engine.begin() as connection:
            return [(a, k, n) for a, k, n in connection.execute(query)]

    def verdicts(self) -> list[Verdict]:
        """Who met whom in every comparison and ranking, in the order of entry: what an arena needs, quickly."""
        with self._errors(), self.engine.begin() as connection:
            return read_verdicts(connection)

    def _write(self, tickets: Sequence[_Ticket]) -> None:
        """Store labels in one transaction; if one of them is at fault, each in its own."""
        rows: dict[str, Entry] = {}
        for ticket in tickets:
            rows.setdefault(ticket.entry.id, ticket.entry)
        try:
            new = self._insert(list(rows.values()))
        except Exception as error:
            if len(tickets) == 1 or isinstance(error.__cause__, sa.exc.OperationalError):  # locked, the disk full
                for ticket in tickets:
                    ticket.done, ticket.error = True, error
            else:
                for ticket in tickets:
                    self._write([ticket])
            return
        for ticket in tickets:
            ticket.done, ticket.new = True, ticket.entry.id in new
            new.discard(ticket.entry.id)

    def _insert(self, rows: Sequence[Entry]) -> set[str]:
        """Insert labels in one transaction; returns the ids of the new ones.

        Where prompts and answers stand is remembered once that is committed: most labels speak of the same.
        """
        known = ChainMap({}, self._known)
        try:
            with self._errors(), writing(self.engine) as connection:
                new = insert_entries(connection, rows, known)
        except Exception:
            self._known = {}
            raise
        if len(self._known) > MOST_KNOWN:
            self._known = {}
        self._known.update(known.maps[0])
        return new

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:  # the latter while a connection is being prepared
            raise database_error(error, self.where) from error


def _standing(annotator: str) -> sa.ColumnElement[bool]:
    """Labels of the page that an annotator has not taken back."""
    return sa.and_(LABELS.c.annotator == annotator, STANDS)
