from pathlib import Path

import pytest

from hone.core.errors import HoneError
from hone.core.files import append_json_line, new_directory, read_json_lines, write_text


def test_a_cut_last_line_is_left_out_and_odd_line_breaks_survive(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    append_json_line(path, {"text": "a\u2028b\u0085c"})
    append_json_line(path, {"text": "é"})
    whole = path.read_bytes()
    assert read_json_lines(path) == [{"text": "a\u2028b\u0085c"}, {"text": "é"}]
    path.write_bytes(whole[:-4])  # cut inside the two bytes of é
    assert read_json_lines(path) == [{"text": "a\u2028b\u0085c"}]
    assert read_json_lines(tmp_path / "none.jsonl") == []


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "step-1"
    with pytest.raises(RuntimeError), new_directory(target) as folder:
        (folder / "a").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    for text in ("1", "2"):
        with new_directory(target) as folder:
            (folder / "a").write_text(text)
        assert (target / "a").read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HoneError, match="cannot write"):
        write_text(tmp_path / "file" / "below.json", "x")
