"""``hone feedback``: import, export and count as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from desk import Hone

PAIR = {"prompt": "p", "chosen": "a", "rejected": "b", "annotator": "ann"}


def write(path: Path, *rows: object) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_there_and_back(hone: Hone, desk: Path) -> None:
    write(desk / "x.jsonl", PAIR, {**PAIR, "chosen": "b"}, {"prompt": "p", "completion": "a", "label": True})
    code, out, err = hone("feedback", "import", "x.jsonl", "--db", "f.db")
    assert (code, err) == (0, "")
    assert out == (
        "x.jsonl: 2 labels imported, 0 were there already\n"
        "x.jsonl: 1 rows make no label and were left out; the first, x.jsonl, record 2: the same answer stands twice "
        "in a comparison; got 'b'; expected answers that differ\n"
    )
    assert hone("feedback", "import", "x.jsonl", "--db", "f.db")[1].startswith("x.jsonl: 0 labels imported, 2 were")
    code, out, _ = hone("feedback", "stats", "--db", "f.db")
    assert code == 0 and "ann" in out and "(unknown)" in out
    assert hone("feedback", "export", "all.parquet", "--db", "f.db")[:2] == (
        0,
        "all.parquet: 2 rows in the layout hone\n",
    )
    assert hone("feedback", "import", "all.parquet", "--db", "other.db")[0] == 0
    assert hone("feedback", "import", "other.db", "--db", "f.db")[1] == (
        "other.db: 0 labels imported, 2 were there already\n"
    )
    assert hone("feedback", "export", "pairs.jsonl", "--layout", "preference", "--db", "other.db")[0] == 0
    (row,) = [json.loads(line) for line in (desk / "pairs.jsonl").read_text().splitlines()]
    assert (row["prompt"], row["chosen"], row["rejected"], row["annotator"]) == ("p", "a", "b", "ann")


def test_what_contradicts_and_what_was_taken_back_is_said(hone: Hone, desk: Path) -> None:
    ann = {"kind": "comparison", "prompt": "p", "annotator": "ann", "item": "i"}
    good, bad = {"text": "good"}, {"text": "bad"}
    first = {**ann, "id": "1", "answers": [{**good, "rank": 1}, {**bad, "rank": 2}]}
    other = {**ann, "id": "2", "answers": [{**bad, "rank": 1}, {**good, "rank": 2}]}
    third = {**first, "id": "3", "item": "j"}
    write(desk / "a.jsonl", first, third)
    write(desk / "b.jsonl", other, {**third, "undone": "2026-01-01"})
    assert hone("feedback", "import", "a.jsonl", "--db", "a.db")[0] == 0
    assert hone("feedback", "import", "b.jsonl", "--db", "b.db")[0] == 0
    code, out, _ = hone("feedback", "import", "b.db", "--db", "a.db")
    assert (code, out) == (
        0,
        "b.db: 1 labels imported (1 beside another answer of the same person to the question), "
        "1 were there already (1 of them now taken back)\n",
    )
    assert hone("feedback", "export", "all.jsonl", "--db", "a.db")[0] == 0
    rows = [json.loads(line) for line in (desk / "all.jsonl").read_text().splitlines()]
    assert [(row["id"], row["undone"]) for row in rows] == [("1", ""), ("3", "2026-01-01"), ("2", "")]


def test_other_column_names_and_dialogues(hone: Hone, desk: Path) -> None:
    write(desk / "x.jsonl", {"prompt": "p", "response": "a", "helpfulness": 3})
    words = ("--columns.completion", "response", "--columns.score", "helpfulness")
    assert hone("feedback", "import", "x.jsonl", "--db", "f.db", *words)[0] == 0
    assert hone("feedback", "export", "s.jsonl", "--layout", "scored", "--db", "f.db")[0] == 0
    assert json.loads((desk / "s.jsonl").read_text())["score"] == 3.0
    write(desk / "hh.jsonl", {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"})
    assert hone("feedback", "import", "hh.jsonl", "--db", "g.db", "--dialogues", "text")[0] == 0
    assert hone("feedback", "export", "p.jsonl", "--layout", "preference", "--db", "g.db")[0] == 0
    assert json.loads((desk / "p.jsonl").read_text())["prompt"] == "\n\nHuman: q\n\nAssistant:"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["imprt"], 'did you mean "import"?'),
        (["import"], "takes one source or more"),
        (["export"], "takes one file"),
        (["export", "a", "b"], "takes one file"),
        (["stats", "x"], "takes no file"),
        (["stats", "--db", "nothing.db"], "there is no feedback database"),
        (["import", "x.jsonl", "--layout", "hone"], "got --layout; expected"),
        (["import", "nothing.jsonl"], "cannot be read"),
        (["import", "questions.jsonl", "--dialogues", "html"], "expected messages or text"),
        (["import", "base.jsonl"], "no row makes a label"),
    ],
)
def test_what_is_refused(hone: Hone, desk: Path, words: list[str], said: str) -> None:
    write(desk / "x.jsonl", PAIR)
    write(desk / "base.jsonl", {"text": "x"})
    code, _, err = hone("feedback", *words)
    assert code == 2 and said in err and err.count("\n") == 1


def test_a_missing_extra_names_the_command(hone: Hone, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "sqlalchemy" else found(name))
    for words in (("feedback", "stats"), ("ui",)):
        code, _, err = hone(*words)
        assert code == 2 and 'got sqlalchemy; do: pip install "hone[ui]"' in err
