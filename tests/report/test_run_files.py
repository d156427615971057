"""Run files as they are found on disk."""

from __future__ import annotations

import json
import math
from pathlib import Path

from hone.report.run_files import columns, json_lines, read_run


def test_only_newlines_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "a\u2028b\u0085c"}, ensure_ascii=False) + "\n[1]\n\n" + '{"b": 1}')
    rows, bad = json_lines(path)
    assert rows == [{"text": "a\u2028b\u0085c"}, {"b": 1}]
    assert bad == 1
    path.write_bytes('{"text": "é'.encode()[:-1])  # cut within a character
    assert json_lines(path) == ([], 0)
    assert json_lines(tmp_path / "none.jsonl") == ([], 0)


def test_columns_are_ordered_and_later_lines_win() -> None:
    found = columns(
        [
            {"step": 2, "a": 1.0, "b": 5},
            {"step": 1, "a": 0.5, "name": "x"},
            {"step": 2, "a": 3.0, "c": None},
            {"a": 9.0},
        ]
    )
    assert found["a"] == ([1.0, 2.0, 3.0], [0.5, 3.0, 9.0])
    assert found["b"] == ([2.0], [5.0])
    assert found["c"][0] == [2.0]
    assert math.isnan(found["c"][1][0])
    assert "name" not in found


def test_evaluations_stand_in_the_order_they_were_made(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[run]\nsteps = 7\n[model]\npath = "m"\n')
    (tmp_path / "evals").mkdir()
    for name in ("after", "step-100", "step-20", "before", "other"):
        (tmp_path / "evals" / f"{name}.json").write_text("{}")
    (tmp_path / "evals" / "cut.json").write_text('{"accuracy"')
    run = read_run(tmp_path)
    assert list(run.evaluations) == ["before", "step-20", "step-100", "other", "after"]
    assert run.unreadable == 1
    assert run.settings == {"run.steps": 7, "model.path": "m"}
    assert not run.finished
    assert run.steps == 0
