import gzip
import json
from pathlib import Path

import pytest

from hone.core.errors import HoneError
from hone.core.records import read_records, require_columns

ROWS = [{"q": "1+1", "a": "2"}, {"q": "é", "a": "ü"}]


def lines(rows: list[dict[str, str]]) -> bytes:
    return "\n".join(json.dumps(r, ensure_ascii=False) for r in rows).encode()


def test_jsonl_plain_and_gzipped_blank_lines_and_byte_order_mark(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "x.jsonl", tmp_path / "x.jsonl.gz"
    plain.write_bytes(b"\xef\xbb\xbf" + lines(ROWS).replace(b"\n", b"\n\n") + b"\n")
    zipped.write_bytes(gzip.compress(lines(ROWS), mtime=0))
    assert read_records(str(plain)) == read_records(str(zipped)) == ROWS


def test_json_list_and_parquet(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    listed, table = tmp_path / "x.json", tmp_path / "x.parquet"
    listed.write_text(json.dumps(ROWS))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), table)
    assert read_records(str(listed)) == read_records(str(table)) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.jsonl", b'{"q": 1}\n{"q": \n', "x.jsonl:2"),
        ("x.jsonl", b'{"q": 1}\n[1]\n', "x.jsonl:2; got list"),
        ("x.jsonl", b'\xff{"q": 1}\n', "malformed JSON; at"),
        ("x.jsonl", b"\n", "has no records"),
        ("x.json", b'{"q": 1}', "name the file .jsonl"),
        ("x.json", b"[3]", "record 1; got int"),
        ("x.jsonl.gz", b"not gzip", "cannot be read"),
        ("x.jsonl.gz", gzip.compress(lines(ROWS * 50), mtime=0)[:-12], "cannot be read"),
        ("x.parquet", b"not parquet", "the Parquet file cannot be read"),
        ("x.csv", b"q,a", "unknown kind"),
    ],
)
def test_faulty_files_are_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HoneError) as caught:
        read_records(str(tmp_path / name))
    assert said in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_is_not_looked_up_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(HoneError, match="cannot be read"):
        read_records("owner/name.jsonl")
    with pytest.raises(HoneError, match="no such data"):
        read_records(str(tmp_path / "nothing"))


def test_a_file_has_no_splits(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(lines(ROWS))
    with pytest.raises(HoneError, match="no splits"):
        read_records(str(tmp_path / "x.jsonl"), split="test")


def test_missing_columns_list_those_there() -> None:
    require_columns(ROWS, ["q", "a"], "x")
    with pytest.raises(HoneError, match=r'no column "question"; at x, record 1; got columns: q, a'):
        require_columns(ROWS, ["question"], "x")
    with pytest.raises(HoneError, match=r"x, record 2; got columns: q"):
        require_columns([ROWS[0], {"q": "?"}], ["a"], "x")
