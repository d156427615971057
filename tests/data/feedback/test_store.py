"""The store on both databases: nothing twice, nothing lost, everything comes back as it went in."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Demonstration, Label, Ranking, Rating, Skip
from hone.data.feedback.entries import Entry
from hone.data.feedback.merging import Merged
from hone.data.feedback.reading import entries_of, read_feedback
from hone.data.feedback.schema import writing
from hone.data.feedback.store import FeedbackStore

A, B, C = Answer("é <b>a</b>", "m", "step-10"), Answer("b\x00\ud800", "m"), Answer("c", "人")
CHAT = ({"role": "user", "content": "hi"}, {"role": "system", "content": "x", "name": "n"})
LABELS: list[Label] = [
    Comparison("p", A, B, annotator="ann", margin=0.5),
    Comparison("p", B, A, tie=True, annotator="bob"),
    Comparison(CHAT, Answer([{"role": "assistant", "content": "a"}, *CHAT]), B),
    Ranking("p", (A, B, C), (2, 1, 2), "ann"),
    Rating("q", A, thumb=False, annotator="ann"),
    Rating("q", A, score=-1.5),
    Demonstration("q", C, corrected=A, annotator="ann"),
    Demonstration(CHAT, B),
    Skip("p", (A, B), "ann"),
    Comparison(
        "p", Answer("x", "m", "s", (("n", "t"), ("o", ""))), Answer("y", "m", "", (("o", ""),)), annotator="ann"
    ),
]


def entry(number: int, annotator: str = "ann", item: str = "", label: Label | None = None) -> Entry:
    return Entry(label or Comparison(f"prompt {number}", A, B, annotator=annotator), f"{annotator}-{number}", item)


def test_every_kind_comes_back_as_it_went_in(database: str) -> None:
    store = FeedbackStore(database)
    written = [Entry(x, f"id {i}", f"item {i}", (), "2026-01-01T00:00:00.000+00:00") for i, x in enumerate(LABELS)]
    written[0] = Entry(LABELS[0], "id 0", "item 0", (1, 0), "2026-01-01T00:00:00.000+00:00")
    written[4] = Entry(LABELS[4], "id 4", "", (), "2026-01-01T00:00:00.000+00:00", undone="2026-01-02")
    assert store.add_many(written) == len(LABELS)
    assert store.entries(undone=True) == written
    assert store.labels() == [x for i, x in enumerate(LABELS) if i != 4]
    assert [type(c) for c in store.comparisons()] == [Comparison] * 7
    store.close()
    again = FeedbackStore(database)  # a restart
    assert again.entries(undone=True) == written
    again.close()


def test_one_id_is_stored_once_whatever_it_says(database: str) -> None:
    store = FeedbackStore(database)
    assert store.add(entry(1)) is True
    assert store.add(entry(1)) is False
    assert store.add(Entry(Comparison("other", C, A), "ann-1")) is False
    assert store.labels() == [entry(1).label]
    assert store.add_many([entry(1), entry(2), entry(2)]) == 1
    with pytest.raises(HoneError, match="without an id"):
        store.add_many([entry(3), Entry(LABELS[0], "")])
    assert len(store.entries()) == 2  # all or none: number 3 is not there
    store.close()


def test_a_person_answers_a_question_once_however_many_tabs(database: str) -> None:
    store = FeedbackStore(database)
    assert store.add(Entry(Comparison("p", A, B, annotator="ann"), "tab 1", "item"))
    assert not store.add(Entry(Comparison("p", B, A, annotator="ann"), "tab 2", "item"))
    assert store.add(Entry(Comparison("p", B, A, annotator="bob"), "bob", "item"))
    assert (store.answered("ann"), store.answered("eve"), store.answered()) == ({"item"}, set(), {"item"})
    assert store.counts() == [("ann", "comparison", 1), ("bob", "comparison", 1)]
    store.close()


def test_undo_takes_back_ones_own_last_label_and_keeps_it(database: str) -> None:
    store = FeedbackStore(database)
    store.add_many([entry(1, item="i"), entry(2, item="j"), entry(3, annotator="bob", item="i"), entry(4)])
    before = store.stamp()
    taken = store.undo("ann")
    assert taken is not None and taken.id == "ann-2" and taken.undone
    assert store.stamp() != before
    assert [e.id for e in store.entries()] == ["ann-1", "bob-3", "ann-4"]
    assert [e.id for e in store.entries(undone=True)] == ["ann-1", "ann-2", "bob-3", "ann-4"]
    assert store.answered("ann") == {"i"}
    assert store.add(Entry(Comparison("p", B, A, annotator="ann"), "second thought", "j"))
    assert [store.undo("ann") is not None for _ in range(3)] == [True, True, False]  # imported ones stay
    store.close()


def test_two_at_once_store_each_label_once(database: str) -> None:
    """Eight threads, two stores, the same hundred labels: one of each arrives, and each is acknowledged once."""
    stores = [FeedbackStore(database), FeedbackStore(database)]
    new: list[bool] = []

    def write(worker: int) -> None:
        for i in range(100):
            new.append(stores[worker % 2].add(entry((i + 13 * worker) % 100, item=f"item {(i + 13 * worker) % 100}")))

    threads = [threading.Thread(target=write, args=(w,)) for w in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(new), sum(new)) == (800, 100)
    assert sorted(e.id for e in stores[0].entries()) == sorted(f"ann-{i}" for i in range(100))
    with stores[0].engine.begin() as connection:  # texts stand once each
        counted = [
            connection.execute(sa.text(f"SELECT count(*) FROM hone_{t}")).scalar() for t in ("prompts", "answers")
        ]
    assert counted == [100, 200]
    for store in stores:
        store.close()


def test_labels_that_arrive_together_are_written_together_and_told_apart(tmp_path: Path) -> None:
    """While one writer holds the turn, twenty arrive: new ones, a double click, one that no database takes."""
    store = FeedbackStore(tmp_path / "f.db")
    said: dict[str, object] = {}
    bad = Rating("p", Answer("a"), score=1.0)
    object.__setattr__(bad, "score", object())
    entries = [entry(i, item=f"item {i}") for i in range(18)]
    known = {f"label {i}": e for i, e in enumerate([*entries, entries[0]])} | {"bad": Entry(bad, "bad")}

    def add(name: str) -> None:
        try:
            said[name] = store.add(known[name])
        except HoneError as error:
            said[name] = error

    commits = []
    sa.event.listen(store.engine, "commit", lambda connection: commits.append(connection))
    threads = [threading.Thread(target=add, args=(name,)) for name in known]
    with store._turn:
        for thread in threads:
            thread.start()
        while len(store._waiting) < len(known):
            pass
    for thread in threads:
        thread.join()
    assert isinstance(said.pop("bad"), HoneError)
    assert sum(map(bool, said.values())) == 18 and [said[f"label {i}"] for i in range(1, 18)] == [True] * 17
    assert {e.id for e in store.entries()} == {e.id for e in entries}
    del known["bad"]
    known |= {f"label {i}": entry(100 + i) for i in range(19)}
    commits.clear()
    threads = [threading.Thread(target=add, args=(name,)) for name in known]
    with store._turn:
        for thread in threads:
            thread.start()
        while len(store._waiting) < len(known):
            pass
    for thread in threads:
        thread.join()
    assert all(said.values()) and len(commits) == 1
    store.close()


def test_writing_and_taking_back_at_once_never_fails(database: str) -> None:
    stores = [FeedbackStore(database), FeedbackStore(database)]
    taken: list[str] = []
    faults: list[Exception] = []

    def work(worker: int) -> None:
        store, name = stores[worker % 2], f"person {worker}"
        try:
            for i in range(40):
                store.add(entry(i, annotator=name, item=f"item {i}"))
                if i % 2 and (undone := store.undo(name)) is not None:
                    taken.append(undone.id)
        except HoneError as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(w,)) for w in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(taken) == sorted(f"person {w}-{i}" for w in range(4) for i in range(1, 40, 2))
    assert len(stores[0].entries()) == 80 and len(stores[0].entries(undone=True)) == 160
    for store in stores:
        store.close()


def test_what_was_acknowledged_survives_a_kill(database: str) -> None:
    """A process says a number after each label is stored and is killed in the middle of it."""
    program = f"""
import os, sys
from hone.core.feedback import Answer, Comparison
from hone.data.feedback.entries import Entry
from hone.data.feedback.schema import writing
from hone.data.feedback.store import FeedbackStore
store = FeedbackStore({database!r})
for i in range(10_000):
    store.add(Entry(Comparison(f"p{{i}}", Answer("a"), Answer("b")), f"id {{i}}"))
    os.write(1, b"%d\\n" % i)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(40)]
    process.kill()
    said += [int(line) for line in process.stdout.read().split()]
    process.wait()
    process.stdout.close()
    store = FeedbackStore(database)
    found = [int(e.id.split()[1]) for e in store.entries()]
    assert found[: len(said)] == said and len(found) <= len(said) + 1
    store.close()


def test_verdicts_say_who_met_whom(database: str) -> None:
    store = FeedbackStore(database)
    store.add_many(Entry(x, f"{i}", f"item {i}") for i, x in enumerate([*LABELS[:4], LABELS[-1]]))
    first, second, _, ranking, alike = store.verdicts()
    store.close()
    assert sorted(a[1:] for a in alike.answers) == [(("m", "o"), 2), (("m@s", "n@t", "o"), 1)]
    said = {
        name: (v.annotator, {a[1:] for a in v.answers}) for name, v in zip("abc", (first, second, ranking), strict=True)
    }
    assert said == {
        "a": ("ann", {(("m@step-10",), 1), (("m",), 2)}),
        "b": ("bob", {(("m@step-10",), 1), (("m",), 1)}),
        "c": ("ann", {(("m@step-10",), 2), (("m",), 1), (("人",), 2)}),
    }
    assert first.prompt == second.prompt == ranking.prompt
    assert {a[:2] for a in first.answers} == {a[:2] for a in second.answers} < {a[:2] for a in ranking.answers}
    assert [a[0] for a in ranking.answers] == sorted(a[0] for a in ranking.answers)


def test_a_database_of_another_version_is_refused(database: str) -> None:
    store = FeedbackStore(database)
    store.add(entry(1))
    with store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE hone_schema SET version = 7"))
    store.close()
    with pytest.raises(HoneError, match=r"another version.*version 7.*expected version 1"):
        FeedbackStore(database)


def test_a_locked_database_is_one_clear_error_and_loses_nothing(database: str) -> None:
    store, other = FeedbackStore(database, wait=0.3), FeedbackStore(database)
    store.add(entry(1))
    lock = "LOCK TABLE hone_labels" if other.engine.dialect.name == "postgresql" else "SELECT 1"
    with other.engine.execution_options(hone_writes=True).begin() as connection:
        connection.execute(sa.text(lock))
        with pytest.raises(HoneError, match="locked by another program"):
            store.add(entry(2))
    assert store.add(entry(2))
    assert [e.id for e in other.entries()] == ["ann-1", "ann-2"]
    store.close()
    other.close()


def test_labels_from_elsewhere_are_merged_and_nothing_said_is_dropped(database: str, tmp_path: Path) -> None:
    """Two servers asked the same people the same questions; then the second's database is imported into the first's."""
    first, second = FeedbackStore(database), FeedbackStore(tmp_path / "other.db")
    good, bad = Comparison("p", A, B, annotator="ann"), Comparison("p", B, A, annotator="ann")
    first.add_many([Entry(good, "1", "i"), entry(2, item="j"), entry(3, item="k"), Entry(good, "5", "l")])
    second.add_many(first.entries())  # a copy, then both go on
    second.add_many([Entry(good, "4", "m")])
    assert [second.undo("ann", name) is not None for name in ("ann-2", "1", "4")] == [True] * 3
    second.add_many([Entry(bad, "second thought", "i"), entry(2, item="j", label=bad)])
    first.undo("ann", "5")
    third = FeedbackStore(tmp_path / "third.db")
    third.add_many([Entry(bad, "third", "k"), Entry(bad, "fourth", "i")])
    new = first.merge(read_feedback(str(tmp_path / "other.db")).entries)
    #  "second thought" and 4 (taken back) are new; "1" and "ann-2" were taken back there; 5 stays taken back here
    assert new == Merged(new=2, beside=0, known=4, taken_back=2)
    standing = {e.id: (e.label, e.item) for e in first.entries()}
    assert standing.keys() == {"ann-3", "second thought"} and standing["second thought"] == (bad, "i")
    assert {e.id for e in first.entries(undone=True)} == {"1", "ann-2", "ann-3", "4", "5", "second thought"}
    # Contrary to what stands on k: kept beside it. On i the same is said already.
    assert first.merge(third.entries()) == Merged(new=1, beside=1, known=1, taken_back=0)
    assert first.merge(third.entries()) == Merged(known=2)
    assert [(e.id, e.item, e.label) for e in first.entries()][-1] == ("third", "", bad)
    assert first.answered("ann") == {"i", "k"}
    both = [Entry(good, "6", "n"), Entry(good, "6", "n", undone="2026")]  # of two exports put together
    assert first.merge(both) == Merged(new=1) and first.entries(undone=True)[-1].undone == "2026"
    for store in (first, second, third):
        store.close()


def test_reading_waits_for_nobody_who_writes(database: str) -> None:
    store = FeedbackStore(database)
    store.add(entry(1))
    lock = "SELECT pg_advisory_xact_lock(7041963)" if store.engine.dialect.name == "postgresql" else "SELECT 1"
    with writing(store.engine) as connection:
        connection.execute(sa.text(lock))  # as somebody does who makes the tables
        reader = FeedbackStore(database, wait=0.2)
        assert len(reader.entries()) == 1
        reader.close()
        assert len(read_feedback(database).labels) == 1
    store.close()


def test_reading_makes_nothing(database: str, tmp_path: Path) -> None:
    with pytest.raises(HoneError, match="there is no feedback database"):
        FeedbackStore(database, create=False)
    assert not (tmp_path / "feedback.db").exists()
    with sqlite3.connect(tmp_path / "foreign.db") as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    with pytest.raises(HoneError, match="there is no feedback database"):
        read_feedback(str(tmp_path / "foreign.db"))
    with sqlite3.connect(tmp_path / "foreign.db") as foreign:
        assert foreign.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
        assert foreign.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    foreign.close()


def test_rankings_of_hundreds_of_answers(database: str) -> None:
    """More values than one statement of a database takes."""
    answers = tuple(Answer(f"answer {i}", "m") for i in range(400))
    rankings = [Ranking(f"p{n}", answers, tuple(range(1, 401)), "ann") for n in range(40)]
    store = FeedbackStore(database)
    assert store.add_many(Entry(r, f"{n}") for n, r in enumerate(rankings)) == 40
    assert store.labels() == rankings
    store.close()


def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is a text " * 100)
    (tmp_path / "folder.db").mkdir()
    for where, said in (
        (tmp_path / "x.db", "no SQLite database"),
        (tmp_path / "folder.db", "cannot be used"),
        ("mysql://localhost/x", "unknown kind"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://folder/f.db", "names no file"),
        ("postgresql://host:port/x", "no database URL"),
        ("postgresql://nobody@127.0.0.1:1/x?connect_timeout=2", "cannot be used"),
    ):
        with pytest.raises(HoneError, match=said):
            FeedbackStore(where)


def test_sqlite_is_durable_and_its_references_hold(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "new" / "f.db")
    with store.engine.begin() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]
    store.close()
    with sqlite3.connect(tmp_path / "new" / "f.db") as plain:
        assert plain.execute("SELECT version FROM hone_schema").fetchall() == [(1,)]
    plain.close()


def test_importing_a_file_twice_stores_it_once_but_equal_rows_stay(database: str) -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    store = FeedbackStore(database)
    rows = [row, row, {**row, "annotator": "ann"}]
    assert store.add_many(entries_of(rows, "x").entries) == 3
    assert store.add_many(entries_of(rows, "y").entries) == 0
    assert store.add_many(entries_of([*rows, row], "z").entries) == 1
    store.close()
    read = read_feedback(database)
    assert (len(read.labels), read.left_out) == (4, [])


def test_a_database_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(HoneError, match="no feedback database"):
        read_feedback(str(tmp_path / "x.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_locked_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    FeedbackStore(path).close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(HoneError, match="locked by another program"):
        FeedbackStore(path, wait=0.2)
    holder.execute("ROLLBACK")
    holder.close()
    FeedbackStore(path).close()


def test_names_that_a_database_cannot_hold_are_mended(database: str) -> None:
    store = FeedbackStore(database)
    store.add(Entry(Rating("p", Answer("a", "m\x00\ud800", "s"), thumb=True, annotator="a\x00n"), "1"))
    (found,) = store.labels()
    assert isinstance(found, Rating) and (found.annotator, found.answer.model) == ("a�n", "m�?")
    store.close()


def test_many_at_once_are_stored_as_one_by_one(tmp_path: Path) -> None:
    rng = random.Random(0)
    answers = [Answer(f"answer {i}", f"m{i % 2}") for i in range(4)]
    entries = []
    for _ in range(300):
        chosen, rejected = rng.sample(answers, 2)
        label = Comparison(f"p{rng.randrange(5)}", chosen, rejected, annotator=rng.choice(["ann", "bob"]))
        shown = (0, 1) if rng.random() < 0.5 else (1, 0)
        item = f"item {rng.randrange(60)}" if rng.random() < 0.7 else ""
        entries.append(Entry(label, f"id {rng.randrange(200)}", item, shown, "2026"))
    single, many = FeedbackStore(tmp_path / "single.db"), FeedbackStore(tmp_path / "many.db")
    # An id whose first label was refused is not tried again by its second: both stores are given the first alone.
    first: dict[str, Entry] = {}
    for e in entries:
        first.setdefault(e.id, e)
    new = [single.add(e) for e in first.values()]
    assert many.add_many(entries) == sum(new) < len(first)
    assert many.entries() == single.entries()
    single.close()
    many.close()


def test_whether_an_answer_stands(database: str) -> None:
    store = FeedbackStore(database)
    store.add(Entry(Comparison("p", A, B, annotator="ann"), "label-1", "i"))
    store.add(Entry(Comparison("q", A, B, annotator="ann"), "label-2"))  # nobody asked for it
    asked = [("ann", "i"), ("bob", "i"), ("ann", "k"), ("ann", "")]
    assert [store.stands(*names) for names in asked] == [True, False, False, False]
    store.undo("ann")
    assert not store.stands("ann", "i")
    store.close()


@pytest.mark.parametrize("most", [1, 100_000])
def test_where_prompts_and_answers_stand_is_remembered_only_of_what_was_committed(
    database: str, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """A failed transaction's rows are gone, and their numbers go to others."""
    monkeypatch.setattr("hone.data.feedback.store.MOST_KNOWN", most)
    store = FeedbackStore(database)

    def said(i: int) -> Comparison:
        return Comparison(f"p{i}", Answer(f"good {i}"), Answer(f"bad {i}"))

    assert store.add(Entry(said(0), "0"))
    with store.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE hone_label_answers RENAME TO away"))
    for names in (["1"], ["2", "3"]):
        with pytest.raises(HoneError, match="hone_label_answers"):
            store.add_many([Entry(said(int(name)), name) for name in names])
    with store.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO hone_label_answers"))
    for i in (3, 2, 1, 0):
        assert store.add(Entry(said(i), f"{i}")) == (i != 0)
        assert store.add(Entry(said(i), f"{i} again"))
    assert [e.label for e in store.entries()] == [said(i) for i in (0, 3, 3, 2, 2, 1, 1, 0)]
    store.close()
