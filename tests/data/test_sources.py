import gzip
import json
from pathlib import Path

import pytest

from hone.core.errors import HoneError
from hone.data.sources import layout, read_examples, read_rows


def test_renamed_columns_and_the_others(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps({"question": "1+1", "answer": "2", "prompt": "old", "id": 7}))
    rows = read_rows(str(file), columns={"prompt": "question", "completion": "answer"}, required=("prompt",))
    assert rows == [{"prompt": "1+1", "completion": "2", "id": 7}]
    assert read_rows(str(file)) == [{"question": "1+1", "answer": "2", "prompt": "old", "id": 7}]


def test_a_missing_column_names_those_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"question": "1", "answer": "2"}\n')
    with pytest.raises(HoneError, match=r'no column "prompt".*columns: question, answer'):
        read_rows(str(file), required=("prompt",))
    with pytest.raises(HoneError, match=r'no column "questions".*did you mean "question"'):
        read_rows(str(file), columns={"prompt": "questions"})


def test_a_malformed_line_is_named_by_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"text": "a"}\n{"text": \n')
    with pytest.raises(HoneError, match=r"x\.jsonl:2"):
        read_rows(str(file))


def test_a_text_file_is_one_row(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "x.txt", tmp_path / "x.txt.gz"
    plain.write_text("Wörd\n\n two \n", encoding="utf-8")
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_rows(str(plain)) == read_rows(str(zipped)) == [{"text": "Wörd\n\n two \n"}]


def test_faults_of_a_text_file(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    with pytest.raises(HoneError, match="cannot be read"):
        read_rows(str(file))
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(HoneError, match="not UTF-8"):
        read_rows(str(file))
    file.write_bytes(b"")
    with pytest.raises(HoneError, match="is empty"):
        read_rows(str(file))
    with pytest.raises(HoneError, match="no splits"):
        read_rows(str(file), split="train")
    broken = tmp_path / "x.txt.gz"
    broken.write_bytes(b"no gzip")
    with pytest.raises(HoneError, match="cannot be read"):
        read_rows(str(broken))


def test_layouts() -> None:
    assert layout({"text": ""}) == "text"
    assert layout({"prompt": "", "text": ""}) == "prompt"
    assert layout({"prompt": "", "completion": ""}) == "prompt-completion"
    assert layout({"messages": [], "prompt": ""}) == "messages"
    with pytest.raises(HoneError, match="no column to learn from; got columns: a, b"):
        layout({"a": 1, "b": 2})


def test_examples_are_pairs_of_texts(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"question": "1", "completion": "2"}\n{"text": "a", "completion": 3}\n')
    with pytest.raises(HoneError, match=r'no column "question"'):
        read_examples(str(file), {"prompt": "question"})
    file.write_text('{"prompt": "1", "completion": "2"}\n{"text": "a", "completion": 3}\n')
    assert read_examples(str(file)) == [("1", "2"), ("", "a")]
    bad: list[dict[str, object]] = [
        {"prompt": "1"},
        {"prompt": "1", "completion": None},
        {"messages": []},
        {"text": 1},
    ]
    for row in bad:
        file.write_text(json.dumps(row))
        with pytest.raises(HoneError, match=r"x\.jsonl, record 1"):
            read_examples(str(file))


def test_real_files_load_where_they_are_at_hand() -> None:
    shared = Path(__file__).parents[2].parent / "shared" / "data"
    if not shared.is_dir():
        pytest.skip("no shared data beside the repository")
    rows = read_rows(str(shared / "gsm8k-test.jsonl.gz"), columns={"prompt": "question", "completion": "answer"})
    assert len(rows) == 1319 and set(rows[0]) == {"prompt", "completion"}
    assert len(read_rows(str(shared / "tinyshakespeare.txt"))[0]["text"]) == 1_115_394
