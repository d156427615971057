"""Every classical figure is reproduced: each number within the tolerance that stands beside it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from hone.cli.reproduce import run
from hone.core.errors import HoneError

COUNTS = {
    "gambler": 10,
    "jacks": 11,
    "gridworld": 26,
    "random_walk": 21,
    "cliff": 8,
    "windy": 2,
    "dyna_maze": 17,
    "blocking": 4,
    "shortcut": 6,
    "frozen_lake": 13,
    "taxi": 7,
}
"""Numbers that each reproduction checks."""


@pytest.mark.parametrize("name", COUNTS)
def test_every_number_is_within_its_tolerance(name: str, tmp_path: Path) -> None:
    found = importlib.import_module(f"hone.reproduce.{name}").reproduce(tmp_path, range(1))
    missed = [f"{c.name}: {c.value} for {c.target}" for c in found.checks if not c.holds]
    assert missed == []
    assert len(found.checks) == COUNTS[name]
    assert len({check.name for check in found.checks}) == len(found.checks)
    json.dumps(dict(found.summary), allow_nan=False)
    assert found.pictures and all(picture.title for picture in found.pictures)


def test_the_verb_writes_summary_page_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["gridworld", "--out", str(tmp_path / "grid")])
    summary = json.loads((tmp_path / "grid" / "summary.json").read_text())
    first = summary["checks"][1]
    assert first["name"] == "4×4 random policy, cell 1" and first["target"] == -14.0 and first["holds"] is True
    assert first["value"] == pytest.approx(-14.0) and first["tolerance"] == 1e-4 and first["relation"] == "="
    page = (tmp_path / "grid" / "report.html").read_text()
    assert (
        page.count("<svg") == 2 and "26 of 26 hold" in page and "http://" not in page.replace("http://www.w3.org", "")
    )
    pictures = sorted((tmp_path / "grid" / "pictures").iterdir())
    names = ["4x4-a-step-costs-1.png", "5x5-with-two-teleports-discount-0-9.png"]
    assert [picture.name for picture in pictures] == names
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    assert (
        capsys.readouterr().out.strip().endswith(f"26 of 26 numbers hold; report: {tmp_path / 'grid' / 'report.html'}")
    )


def test_names_are_checked(tmp_path: Path) -> None:
    with pytest.raises(HoneError, match='unknown reproduction; got "dyna-mase"; expected did you mean "dyna-maze"'):
        run(["dyna-mase", "--out", str(tmp_path)])
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(HoneError, match="cannot write"):
        run(["gridworld", "--out", str(tmp_path / "file" / "grid")])
    with pytest.raises(HoneError, match="needs a seed"):
        run(["gridworld", "--seeds", "0", "--out", str(tmp_path)])
