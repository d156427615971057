"""The store of labels: what was acknowledged is on the disk, and there exactly once."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Label, author, comparisons_of
from hone.data.feedback.entries import Entry, digest, make_label, now, parts
from hone.data.feedback.rows import from_json, insert_once, insert_or_nothing, label_columns, storable, to_json
from hone.data.feedback.schema import (
    ANSWERS,
    LABEL_ANSWERS,
    LABELS,
    PROMPTS,
    WAIT,
    database_error,
    open_database,
    shown_name,
    writing,
)

BATCH = 200
"""Labels that go into the database in one statement."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A comparison or ranking without its texts.

    Attributes:
        prompt: number of the prompt.
        annotator: who said it.
        answers: (number of the answer, its author, its rank), by number.
    """

    prompt: int
    annotator: str
    answers: list[tuple[int, str, int]]


class FeedbackStore:
    """Labels in SQLite or PostgreSQL; safe to use from several threads and several processes.

    Args:
        where: a file or a database URL, see :func:`hone.data.feedback.schema.open_database`.
        wait: seconds to wait for another program that holds the database.

    Raises:
        HoneError: the database cannot be opened (every method: used).
    """

    def __init__(self, where: str | Path, wait: float = WAIT) -> None:
        self.where, self.shown = where, shown_name(where)
        self.engine = open_database(where, wait)
        # Threads of this process queue up here, in order; SQLite's own waiting is a lottery.
        self._turn = threading.Lock() if self.engine.dialect.name == "sqlite" else contextlib.nullcontext()

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()

    def add(self, entry: Entry) -> bool:
        """Store a label durably; False (and no change) if its id, or its annotator's answer to its item, is there."""
        return self.add_many([entry]) == 1

    def add_many(self, entries: Iterable[Entry]) -> int:
        """Store labels in one transaction, all or none; returns how many were new."""
        first: dict[str, Entry] = {}
        for entry in entries:
            first.setdefault(entry.id, entry)
        rows = list(first.values())
        if "" in first:
            raise HoneError("a label without an id cannot be stored", do="give each submission an id of its own")
        with self._turn, self._errors(), writing(self.engine) as connection:
            return sum(self._insert(connection, rows[i : i + BATCH]) for i in range(0, len(rows), BATCH))

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
            return next(self._read(connection, LABELS.c.id == last))

    def entries(self, *, undone: bool = False) -> list[Entry]:
        """Every label in the order of entry; with ``undone`` also those taken back."""
        condition = sa.true() if undone else LABELS.c.undone.is_(None)
        with self._errors(), self.engine.begin() as connection:
            return list(self._read(connection, condition))

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
            )
            .join(LABEL_ANSWERS, LABEL_ANSWERS.c.label_id == LABELS.c.id)
            .join(ANSWERS, ANSWERS.c.id == LABEL_ANSWERS.c.answer_id)
            .where(LABELS.c.undone.is_(None), LABELS.c.kind.in_(["comparison", "ranking"]))
            .order_by(LABELS.c.id, ANSWERS.c.id)
        )
        found: dict[int, Verdict] = {}
        with self._errors(), self.engine.begin() as connection:
            for label, prompt, annotator, answer, model, checkpoint, rank in connection.execute(query):
                verdict = found.setdefault(label, Verdict(prompt, annotator, []))
                verdict.answers.append((answer, author(model, checkpoint), rank))
        return list(found.values())

    def _insert(self, connection: sa.Connection, entries: Sequence[Entry]) -> int:
        prompts = [{"digest": digest(entry.label.prompt), "content": to_json(entry.label.prompt)} for entry in entries]
        prompt_ids = insert_once(connection, PROMPTS, prompts)
        answers = [
            {
                "digest": digest(prompt["digest"], a.text, a.model, a.checkpoint),
                "prompt_id": prompt_ids[prompt["digest"]],
                "content": to_json(a.text),
                "model": storable(a.model),
                "checkpoint": storable(a.checkpoint),
            }
            for entry, prompt in zip(entries, prompts, strict=True)
            for a, _ in parts(entry.label)
        ]
        answer_ids = insert_once(connection, ANSWERS, answers) if answers else {}
        rows = [
            {**label_columns(entry), "prompt_id": prompt_ids[prompt["digest"]]}
            for entry, prompt in zip(entries, prompts, strict=True)
        ]
        insert = insert_or_nothing(connection, LABELS, rows).returning(LABELS.c.submission, LABELS.c.id)
        new = {row.submission: row.id for row in connection.execute(insert)}
        links, place_of = [], iter(answers)
        for entry in entries:
            label_id = new.get(entry.id)
            for i, (_, rank) in enumerate(parts(entry.label)):
                answer_id = answer_ids[str(next(place_of)["digest"])]
                shown = entry.shown[i] if entry.shown else None
                link = {"label_id": label_id, "place": i, "answer_id": answer_id, "rank": rank, "shown": shown}
                links += [link] if label_id is not None else []
        if links:
            connection.execute(LABEL_ANSWERS.insert(), links)
        return len(new)

    def _read(self, connection: sa.Connection, condition: Any) -> Iterator[Entry]:
        joined = (
            sa.select(LABEL_ANSWERS, ANSWERS.c.content, ANSWERS.c.model, ANSWERS.c.checkpoint)
            .join(ANSWERS, ANSWERS.c.id == LABEL_ANSWERS.c.answer_id)
            .join(LABELS, LABELS.c.id == LABEL_ANSWERS.c.label_id)
            .where(condition)
            .order_by(LABEL_ANSWERS.c.label_id, LABEL_ANSWERS.c.place)
        )
        answers: dict[int, list[Any]] = {}
        for row in connection.execute(joined):
            answers.setdefault(row.label_id, []).append(row)
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
                tuple(Answer(from_json(a.content), a.model, a.checkpoint) for a in rows),
                tuple(a.rank for a in rows),
                row.annotator,
                row.thumb,
                row.score,
                row.margin,
            )
            shown = tuple(a.shown for a in rows if a.shown is not None)
            yield Entry(label, row.submission, row.item, shown, row.created, row.undone or "")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:  # the latter while a connection is being prepared
            raise database_error(error, self.where) from error


def _standing(annotator: str) -> sa.ColumnElement[bool]:
    """Labels of the page that an annotator has not taken back."""
    return sa.and_(LABELS.c.annotator == annotator, LABELS.c.undone.is_(None), LABELS.c.item != "")
