"""The store of labels: what was acknowledged is on the disk, and there exactly once."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from hone.core.errors import HoneError
from hone.core.feedback import Comparison, Label, author, comparisons_of
from hone.data.feedback.entries import Entry, content_id, now
from hone.data.feedback.rows import insert_entries, pieces, read_entries, storable
from hone.data.feedback.schema import (
    ANSWERS,
    LABEL_ANSWERS,
    LABELS,
    OTHERS,
    WAIT,
    database_error,
    open_database,
    shown_name,
    writing,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A comparison or ranking without its texts.

    Attributes:
        prompt: number of the prompt.
        annotator: who said it.
        answers: (number of the answer, its authors, its rank), by number.
    """

    prompt: int
    annotator: str
    answers: list[tuple[int, tuple[str, ...], int]]


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
        rows = list(_by_id(entries).values())
        with self._turn, self._errors(), writing(self.engine) as connection:
            return len(insert_entries(connection, rows))

    def merge(self, entries: Iterable[Entry]) -> Merged:
        """Store labels from elsewhere (another database, a file) in one transaction, all or none.

        Nothing that was said is dropped: a person's second, other answer to a question stays beside the first, as a
        label that nobody asked for. Taking back travels too: a label that was taken back here or there is so after.
        """
        rows = _by_id(entries)
        with self._turn, self._errors(), writing(self.engine) as connection:
            here = _undone(connection, rows)
            back = [name for name, undone in here.items() if rows[name].undone and not undone]
            for name in back:
                change = LABELS.update().where(LABELS.c.submission == name)
                connection.execute(change.values(undone=rows[name].undone))
            missing = [entry for name, entry in rows.items() if name not in here]
            new = insert_entries(connection, missing)
            contrary = [entry for entry in missing if entry.id not in new]
            said = _said(connection, contrary)
            other = [e for e in contrary if said.get((storable(e.label.annotator), e.item)) != content_id(e.label)]
            beside = insert_entries(connection, [replace(entry, item="") for entry in other])
        stored = len(new) + len(beside)
        return Merged(stored, len(beside), len(rows) - stored, len(back))

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

    def stamp(self) -> tuple[int, int]:
        """Changes whenever a label is added or taken back: (highest row, number taken back)."""
        with self._errors(), self.engine.begin() as connection:
            row = connection.execute(sa.select(sa.func.max(LABELS.c.id), sa.func.count(LABELS.c.undone))).one()
        return (row[0] or 0, row[1])

    def answered(self, annotator: str | None = None) -> set[str]:
        """The items that an annotator (or anybody) has answered or skipped."""
        condition = sa.and_(LABELS.c.undone.is_(None), LABELS.c.item != "")
        if annotator is not None:
            condition = sa.and_(condition, LABELS.c.annotator == annotator)
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
        query = (
            sa.select(
                LABELS.c.id,
                LABELS.c.prompt_id,
                LABELS.c.annotator,
                ANSWERS.c.id.label("answer"),
                ANSWERS.c.model,
                ANSWERS.c.checkpoint,
                LABEL_ANSWERS.c.rank,
                LABEL_ANSWERS.c.place,
            )
            .join(LABEL_ANSWERS, LABEL_ANSWERS.c.label_id == LABELS.c.id)
            .join(ANSWERS, ANSWERS.c.id == LABEL_ANSWERS.c.answer_id)
            .where(LABELS.c.undone.is_(None), LABELS.c.kind.in_(["comparison", "ranking"]))
            .order_by(LABELS.c.id, LABEL_ANSWERS.c.place)
        )
        found: dict[int, tuple[Verdict, dict[int, tuple[int, tuple[str, ...], int]]]] = {}
        with self._errors(), self.engine.begin() as connection:
            for label, prompt, annotator, answer, model, checkpoint, rank, place in connection.execute(query):
                _, places = found.setdefault(label, (Verdict(prompt, annotator, []), {}))
                number, authors, _ = places.get(place % OTHERS, (answer, (), rank))  # its first author comes first
                places[place % OTHERS] = (number, (*authors, author(model, checkpoint)), rank)
        for verdict, places in found.values():
            verdict.answers.extend(sorted(places.values()))
        return [verdict for verdict, _ in found.values()]

    def _write(self, tickets: Sequence[_Ticket]) -> None:
        """Store labels in one transaction; if one of them is at fault, each in its own."""
        rows: dict[str, Entry] = {}
        for ticket in tickets:
            rows.setdefault(ticket.entry.id, ticket.entry)
        try:
            with self._errors(), writing(self.engine) as connection:
                new = insert_entries(connection, list(rows.values()))
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

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:  # the latter while a connection is being prepared
            raise database_error(error, self.where) from error


def _standing(annotator: str) -> sa.ColumnElement[bool]:
    """Labels of the page that an annotator has not taken back."""
    return sa.and_(LABELS.c.annotator == annotator, LABELS.c.undone.is_(None), LABELS.c.item != "")


def _by_id(entries: Iterable[Entry]) -> dict[str, Entry]:
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
        for entry in read_entries(connection, sa.and_(asked, LABELS.c.undone.is_(None), LABELS.c.item != "")):
            found[entry.label.annotator, entry.item] = content_id(entry.label)
    return found
