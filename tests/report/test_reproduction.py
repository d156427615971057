"""Pictures of a reproduction as files: named by title, none lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from hone.core.errors import HoneError
from hone.report.charts import Series, curve
from hone.report.reproduction import save_pictures


def test_pictures_are_named_by_title_and_none_is_lost(tmp_path: Path) -> None:
    figure = curve([Series("a", [1, 2], [1.0, 2.0])], title="a")
    paths = save_pictures(tmp_path / "p", [("ε = 0.1: The race", figure), ("Maze", figure), ("Maze!", figure)])
    assert [path.name for path in paths] == ["epsilon-0-1-the-race.png", "maze.png", "maze-3.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("a file")
    with pytest.raises(HoneError, match=r"cannot write; at .*p; got File exists"):
        save_pictures(tmp_path / "p", [])
