"""The tables of a feedback database, and opening one: SQLite by default, PostgreSQL by URL.

A label is a row of ``hone_labels``: its kind, who said it, when, about which prompt. The answers it speaks of are rows
of ``hone_label_answers``: their rank (1 is best; equal ranks are a tie; none where nothing was said) and the place in
which they were shown; an answer that several models wrote alike has a row for each. Prompts and answers stand once
each, found by a digest of what they hold.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from hone.core.errors import HoneError

try:
    import sqlalchemy as sa
except ImportError as error:
    raise HoneError("feedback needs SQLAlchemy", do='pip install "hone[ui]"') from error

VERSION = 1
"""Of the tables below; another version is refused, never guessed at."""
WAIT = 10.0
"""Seconds to wait for another program that is writing."""

OTHERS = 1_000_000
"""Who else wrote the answer at place i stands at the places i + OTHERS, i + 2 OTHERS, ... of ``hone_label_answers``."""

URLS = "sqlite:///FILE or postgresql://HOST/NAME"

META = sa.MetaData()
SCHEMA = sa.Table("hone_schema", META, sa.Column("version", sa.Integer, primary_key=True))
PROMPTS = sa.Table(
    "hone_prompts",
    META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(32), nullable=False, unique=True),
    sa.Column("content", sa.Text, nullable=False),  # JSON: a string, or a list of messages
)
ANSWERS = sa.Table(
    "hone_answers",
    META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(32), nullable=False, unique=True),
    sa.Column("prompt_id", sa.ForeignKey(PROMPTS.c.id), nullable=False, index=True),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("checkpoint", sa.Text, nullable=False),
)
LABELS = sa.Table(
    "hone_labels",
    META,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("submission", sa.String(64), nullable=False, unique=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("prompt_id", sa.ForeignKey(PROMPTS.c.id), nullable=False),
    sa.Column("annotator", sa.Text, nullable=False),
    sa.Column("item", sa.String(64), nullable=False),  # the question it answers; "" of imported labels
    sa.Column("created", sa.String(32), nullable=False),  # ISO 8601, UTC
    sa.Column("undone", sa.String(32)),  # when it was taken back; the row stays
    sa.Column("thumb", sa.Boolean),
    sa.Column("score", sa.Double),
    sa.Column("margin", sa.Double),
)
LABEL_ANSWERS = sa.Table(
    "hone_label_answers",
    META,
    sa.Column("label_id", sa.ForeignKey(LABELS.c.id), primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("answer_id", sa.ForeignKey(ANSWERS.c.id), nullable=False, index=True),
    sa.Column("rank", sa.Integer),
    sa.Column("shown", sa.Integer),
)
STANDS = sa.and_(LABELS.c.undone.is_(None), LABELS.c.item != "")
"""Labels of the page that were not taken back."""
# One person answers a question once, however many tabs are open.
sa.Index("hone_once", LABELS.c.annotator, LABELS.c.item, unique=True, sqlite_where=STANDS, postgresql_where=STANDS)


def open_database(where: str | Path, wait: float = WAIT, *, create: bool = True) -> sa.Engine:
    """An engine for a feedback database.

    SQLite runs in WAL mode with full synchronisation: what was committed survives a crash and a power cut. Opening one
    that is there only reads: somebody may be writing.

    Args:
        where: a file, or a URL (``sqlite:///file``, ``postgresql://user@host/name``).
        wait: seconds to wait for a lock.
        create: make the database and its tables if they are not there.

    Raises:
        HoneError: no such server, not a database, no permission, locked, tables of another version; with ``create``
            off also a database that is not there or holds no feedback.
    """
    url = database_url(where)
    sqlite = url.get_backend_name() == "sqlite"
    engine = None
    try:
        if sqlite:
            file = Path(url.database or "").expanduser()
            if create:
                file.parent.mkdir(parents=True, exist_ok=True)
            elif not file.exists():
                raise _nothing_there(where)
            engine = sa.create_engine(url, connect_args={"timeout": wait}, pool_size=16, max_overflow=48)
            _prepare_sqlite(engine, create)
        else:
            options = f"-c lock_timeout={int(wait * 1000)} -c timezone=UTC"
            engine = sa.create_engine(url, pool_pre_ping=True, pool_size=16, connect_args={"options": options})
        with engine.begin() as connection:
            there = _has_tables(connection, shown_name(where))
        if not there and not create:
            raise _nothing_there(where)
        if not there:
            with writing(engine) as connection:
                _make_tables(connection, shown_name(where))
    except BaseException as error:
        if engine is not None:
            engine.dispose()
        if isinstance(error, sa.exc.SQLAlchemyError | sqlite3.Error | OSError | ImportError):
            raise database_error(error, where) from error
        raise
    return engine


def database_url(where: str | Path) -> sa.URL:
    """The URL of a database; a plain path is a SQLite file, PostgreSQL is spoken through psycopg.

    Raises:
        HoneError: not a URL, or a kind of database that the store does not know.
    """
    text = str(where)
    if "://" not in text:
        return sa.URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError) as error:  # the latter where a port is no number
        raise HoneError("this is no database URL", got=text, expected=URLS) from error
    kind = url.drivername.partition("+")[0]
    if kind not in ("sqlite", "postgresql", "postgres"):
        raise HoneError("unknown kind of database", got=kind, expected="sqlite or postgresql")
    if kind == "sqlite" and (url.database in (None, "", ":memory:") or url.host):
        raise HoneError("this URL names no file", got=text, expected="sqlite:///FILE, or just the file's name")
    return url.set(drivername="sqlite" if kind == "sqlite" else "postgresql+psycopg")


def writing(engine: sa.Engine) -> Any:
    """A transaction that will write: SQLite takes its lock at once, so two writers wait instead of failing."""
    return engine.execution_options(hone_writes=True).begin()


def database_error(error: Exception, where: str | Path) -> HoneError:
    """What a database driver raised, as one clear error."""
    shown = shown_name(where)
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    got = lines[0] if lines else type(error).__name__
    if isinstance(error, ImportError):
        return HoneError("PostgreSQL needs psycopg", where=shown, do='pip install "hone[postgres]"')
    if "locked" in got or "lock timeout" in got:
        return HoneError(
            "the database is locked by another program; nothing was stored",
            where=shown,
            do="close what holds it (a database browser, a copy), then try again",
        )
    if "not a database" in got:
        return HoneError("this file is no SQLite database", where=shown, do="name another file with --db")
    if "disk is full" in got or "No space left" in got:
        return HoneError("the disk is full; nothing was stored", where=shown, do="free some space, then try again")
    return HoneError("the database cannot be used", where=shown, got=got)


def shown_name(where: str | Path) -> str:
    """A database as it may be shown: without its password."""
    return str(where) if "://" not in str(where) else database_url(where).render_as_string(hide_password=True)


def _nothing_there(where: str | Path) -> HoneError:
    return HoneError("there is no feedback database", where=shown_name(where), do="name another with --db")


def _prepare_sqlite(engine: sa.Engine, create: bool) -> None:
    # The driver's own transactions begin late and fail instead of waiting; so it is set to none and asked by hand.
    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        # Only whoever may make a database chooses its mode: changing that takes the lock of a writer.
        for pragma in (*(["journal_mode=WAL"] if create else []), "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("hone_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _has_tables(connection: sa.Connection, where: str) -> bool:
    """Whether the tables are there.

    Raises:
        HoneError: they are, and of another version.
    """
    if not sa.inspect(connection).has_table(SCHEMA.name):
        return False
    found = connection.execute(sa.select(SCHEMA.c.version)).scalars().all()
    if found != [VERSION]:
        raise HoneError(
            "this feedback database is of another version",
            where=where,
            got=f"version {', '.join(map(str, found)) or 'none'}",
            expected=f"version {VERSION}",
            do="export it with the hone that wrote it, then import into a new database",
        )
    return True


def _make_tables(connection: sa.Connection, where: str) -> None:
    if connection.dialect.name == "postgresql":  # two programs may open a new database at the same moment
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7041963)"))
    if not _has_tables(connection, where):  # another program may have been quicker
        META.create_all(connection)
        connection.execute(SCHEMA.insert().values(version=VERSION))
