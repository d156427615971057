"""Layouts of the hub by rows written by hand, there and back; the real human comparisons where they are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Demonstration, Label, Ranking, Rating, Skip
from hone.data.feedback.entries import Entry, make_label
from hone.data.feedback.layouts import row_labels, split_dialogues
from hone.data.feedback.reading import entries_of, read_feedback
from hone.data.feedback.writing import export_records, write_records

REAL = Path(__file__).parents[4] / "shared" / "data" / "hh-rlhf-harmless-base-test.jsonl.gz"
USER, GOOD, BAD = ({"role": r, "content": c} for r, c in (("user", "hi"), ("assistant", "good"), ("assistant", "bad")))
HH = "\n\nHuman: hi\n\nAssistant: yes?\n\nHuman: more\n\nAssistant:"
TURNS = (USER, {"role": "assistant", "content": "yes?"}, {"role": "user", "content": "more"})


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, Comparison("p", Answer("a"), Answer("b"))),
        (
            {
                "prompt": "p",
                "chosen": "a",
                "rejected": "b",
                "tie": 1,
                "margin": 2,
                "annotator": "ann",
                "chosen_model": "m",
                "rejected_checkpoint": "s",
            },
            Comparison("p", Answer("a", "m"), Answer("b", "", "s"), True, "ann", 2.0),
        ),
        ({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}, Comparison([USER], Answer([GOOD]), Answer([BAD]))),
        ({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, Comparison([USER], Answer("good"), Answer("bad"))),
        (
            {"prompt": "hi", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
            Comparison([USER], Answer("good"), Answer("bad")),
        ),
        (
            {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
            Comparison([USER], Answer("good"), Answer("bad")),
        ),
        ({"chosen": f"{HH} good", "rejected": f"{HH} bad"}, Comparison(TURNS, Answer("good"), Answer("bad"))),
        (
            {"chosen": "Q: two and two\nA: four", "rejected": "Q: two and two\nA: five"},
            Comparison("Q: two and two\nA: ", Answer("four"), Answer("five")),
        ),
        ({"prompt": "p", "completion": "a", "label": True}, Rating("p", Answer("a"), thumb=True)),
        ({"prompt": "p", "completion": "a", "label": 0, "model": "m"}, Rating("p", Answer("a", "m"), thumb=False)),
        ({"prompt": [USER], "completion": [GOOD], "label": False}, Rating([USER], Answer("good"), thumb=False)),
        ({"prompt": "p", "completion": "a", "score": 4}, Rating("p", Answer("a"), score=4.0)),
        ({"prompt": "p", "completion": "a", "label": None, "score": 4}, Rating("p", Answer("a"), score=4.0)),
        ({"prompt": "p", "completion": "a"}, Demonstration("p", Answer("a"))),
        (
            {"prompt": "p", "completions": ["a", "b"], "ranks": [2, 1], "models": ["m", "n"]},
            Ranking("p", (Answer("a", "m"), Answer("b", "n")), (2, 1)),
        ),
    ],
)
def test_a_row_of_each_layout(row: dict[str, Any], label: Label) -> None:
    (found,) = row_labels(row)
    if isinstance(label, Comparison) and not isinstance(label.chosen.text, str):
        # an explicit conversational pair of single assistant messages is their text
        label = Comparison(label.prompt, Answer("good"), Answer("bad"))
    assert found == label


def test_several_scored_answers_are_as_many_ratings() -> None:
    row = {"prompt": "p", "completions": ["a", "b"], "scores": [1, 3.5]}
    assert row_labels(row) == [Rating("p", Answer("a"), score=1.0), Rating("p", Answer("b"), score=3.5)]


def test_dialogues_as_text_keep_every_character() -> None:
    prompt, chosen, rejected = split_dialogues(f"{HH} good", f"{HH} bad", "text")
    assert (prompt, chosen, rejected) == (HH, " good", " bad")


def test_dialogues_that_part_before_the_last_turn() -> None:
    one, other = f"{HH} good\n\nHuman: why\n\nAssistant: so", f"{HH} bad"
    prompt, chosen, rejected = split_dialogues(one, other)
    assert (prompt, rejected) == (TURNS, "bad")
    assert [m["content"] for m in chosen] == ["good", "why", "so"]  # type: ignore[index]
    prompt, chosen, rejected = split_dialogues(one, other, "text")
    assert (prompt, chosen) == (HH, " good\n\nHuman: why\n\nAssistant: so")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "x"}, "no feedback of a known layout.*question"),
        ({"prompt": "p", "chosen": "a", "rejected": "a "}, "same answer"),
        ({"prompt": "p", "chosen": "a", "rejected": ""}, "empty"),
        ({"chosen": [USER], "rejected": [USER, BAD]}, "empty"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "no common beginning"),
        ({"chosen": "a", "rejected": [BAD]}, "one answer is text"),
        ({"prompt": 3, "chosen": "a", "rejected": "b"}, '"prompt" is neither text'),
        ({"prompt": "p", "chosen": "a", "rejected": "b", "tie": "no"}, '"tie" is neither true'),
        ({"prompt": "p", "completion": "a", "score": "high"}, '"score" is not a number'),
        ({"prompt": "p", "completion": "a", "score": float("nan")}, "not a number"),
        ({"prompt": "p", "completions": ["a"], "scores": [1, 2]}, "not one rank or score"),
        ({"kind": "comparison", "answers": [{"text": "a"}]}, "no label of hone|makes no label"),
    ],
)
def test_a_faulty_row_says_why(row: dict[str, Any], said: str) -> None:
    with pytest.raises(HoneError, match=said):
        row_labels(row)


def test_faulty_rows_are_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    rows = [{"prompt": "p", "chosen": "a", "rejected": "a"}, {"prompt": "p", "chosen": "a", "rejected": "b"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_feedback(str(path))
    assert len(read.comparisons) == 1
    assert [where for where, _ in read.left_out] == [f"{path}, record 1"]
    path.write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(HoneError, match="no row makes a label; the first: the same answer"):
        read_feedback(str(path))


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"prompt": "p", "response": "a", "helpfulness": 3}) + "\n")
    read = read_feedback(str(path), columns={"completion": "response", "score": "helpfulness"})
    assert read.labels == [Rating("p", Answer("a"), score=3.0)]


EVERY: list[Label] = [
    Comparison("p", Answer("a", "m", "s"), Answer("b"), annotator="ann", margin=1.5),
    Comparison("p", Answer("a"), Answer("b"), tie=True),
    Ranking("p", (Answer("a"), Answer("b"), Answer("c")), (2, 1, 2)),
    Rating("p", Answer("a"), thumb=True),
    Rating("p", Answer("a"), score=2.0),
    Demonstration("p", Answer("a"), corrected=Answer("b")),
    Skip("p", (Answer("a"), Answer("b"))),
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("chat", [False, True])
def test_files_hold_everything(tmp_path: Path, kind: str, chat: bool) -> None:
    more = [Comparison([USER, {**GOOD, "name": "n"}, USER], Answer([BAD, USER, GOOD]), Answer("x"))] if chat else []
    written = [Entry(x, f"id {i}", "item", (), "2026", "2027" if i == 1 else "") for i, x in enumerate([*EVERY, *more])]
    written[0] = Entry(EVERY[0], "id 0", "item", (1, 0), "2026")
    path = tmp_path / f"x.{kind}"
    write_records(path, export_records(written))
    read = read_feedback(str(path))
    assert list(read.entries) == written and not read.left_out
    assert len(read.labels) == len(written) - 1


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_layouts_of_the_hub_come_back(tmp_path: Path, kind: str) -> None:
    entries = [Entry(x, str(i)) for i, x in enumerate(EVERY)]
    expected: dict[str, list[Label]] = {
        "preference": [EVERY[0], Comparison("p", Answer("b"), Answer("a")), Comparison("p", Answer("b"), Answer("c"))],
        "unpaired": [EVERY[3]],
        "scored": [EVERY[4]],
        "sft": [Demonstration("p", Answer("a"))],
    }
    for layout, labels in expected.items():
        path = tmp_path / f"{layout}.{kind}"
        write_records(path, export_records(entries, layout))
        assert read_feedback(str(path)).labels == labels, layout


def test_messages_anywhere_make_messages_everywhere() -> None:
    labels = [Comparison("p", Answer("a"), Answer("b")), Comparison([USER], Answer("a"), Answer("b"))]
    rows = export_records([Entry(x, str(i)) for i, x in enumerate(labels)], "preference")
    assert rows[0]["prompt"] == [{"role": "user", "content": "p"}]
    assert rows[0]["chosen"] == [{"role": "assistant", "content": "a"}]
    assert rows[1]["prompt"] == [USER]


def test_rewards_are_one_number_per_compared_answer() -> None:
    rows = export_records([Entry(EVERY[0], "0")], "rewards")
    assert [(row["completion"], row["score"]) for row in rows] == [
        ("a", pytest.approx(1.0)),
        ("b", pytest.approx(-1.0)),
    ]


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(HoneError, match="unknown layout"):
        export_records([], "preferences")
    with pytest.raises(HoneError, match="no label"):
        export_records([Entry(EVERY[3], "0")], "preference")
    with pytest.raises(HoneError, match=r"\.jsonl or \.parquet"):
        write_records(tmp_path / "x.csv", [])
    with pytest.raises(HoneError, match="makes no label"):
        make_label("comparison", "p", (Answer("a"),), (1,), "")


@pytest.mark.skipif(not REAL.exists(), reason="the HH-RLHF test file is not here")
def test_the_real_human_comparisons() -> None:
    read = read_feedback(str(REAL))
    assert len(read.comparisons) == 2308
    assert [why.split(";")[0] for _, why in read.left_out] == ["an answer is empty"] * 4
    roles = {tuple(m["role"] for m in c.prompt)[-1] for c in read.comparisons if not isinstance(c.prompt, str)}
    assert roles == {"user"}
    several = [
        c for c in read.comparisons if not isinstance(c.chosen.text, str) or not isinstance(c.rejected.text, str)
    ]
    assert len(several) == 5  # these part before their last turn
    text = read_feedback(str(REAL), dialogues="text")
    rows = [json.loads(line) for line in gzip.decompress(REAL.read_bytes()).decode().splitlines()]
    whole = {(str(c.prompt) + str(c.chosen.text), str(c.prompt) + str(c.rejected.text)) for c in text.comparisons}
    assert whole <= {(row["chosen"], row["rejected"]) for row in rows}
    assert all(str(c.prompt).endswith("\n\nAssistant:") for c in text.comparisons)


def test_ids_do_not_depend_on_the_file_and_repeat() -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    first, second = entries_of([row, row], "x").entries
    assert first.id != second.id
    assert [e.id for e in entries_of([row, row], "y").entries] == [first.id, second.id]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "x", "completions": ["a", "b"], "ranks": ["x", 1]},
        {"prompt": "x", "completions": ["a", "b"], "ranks": [1, 2], "models": ["m"]},
        {"prompt": "x", "completions": ["a", "b"], "scores": [None, 1]},
        {"prompt": "x", "completions": [5, "b"], "scores": [0, 1]},
        {"prompt": "x", "completions": "ab", "scores": [0, 1]},
    ],
)
def test_a_row_of_wrong_types_is_left_out_and_named(row: dict[str, Any]) -> None:
    good = {"prompt": "p", "chosen": "a", "rejected": "b"}
    found = entries_of([row, good], "f.jsonl")
    assert [type(entry.label) for entry in found.entries] == [Comparison]
    assert [where for where, _ in found.left_out] == ["f.jsonl, record 1"]
