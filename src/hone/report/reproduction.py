"""One self-contained HTML page of a reproduction: headline, numbers beside their targets, pictures, notes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from hone.core.files import disk_errors, write_text
from hone.report.charts import figure_to_svg, save_png
from hone.report.page import render
from hone.report.style import number

_SPELT = str.maketrans({"ε": "epsilon", "λ": "lambda", "×": "x"})
"""Characters of titles that would be missed in a file's name."""


def write_reproduction(
    path: Path,
    *,
    status: str = "reproduction",
    title: str,
    headline: str,
    facts: Mapping[str, str],
    checks: Sequence[Mapping[str, Any]],
    pictures: Sequence[tuple[str, Figure, str]],
    notes: Sequence[str] = (),
    tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Path:
    """Write the page and return its path. It needs no network and no script.

    Args:
        path: the file.
        status: small print above the title: what kind of page it is.
        title: heading.
        headline: the result in one sentence.
        facts: what stands in the strip under the title.
        checks: ``name``, ``value``, ``target``, ``tolerance``, ``relation`` and ``holds`` of each number.
        pictures: title, figure and caption of each.
        notes: paragraphs.
        tables: rows (dictionaries with the same keys) by heading.

    Raises:
        HoneError: the page cannot be written.
    """
    drawn = [
        {"title": name, "svg": Markup(figure_to_svg(figure, f"picture {i}")), "caption": caption}
        for i, (name, figure, caption) in enumerate(pictures)
    ]
    page = render(
        "reproduction.html",
        status=status,
        title=title,
        headline=headline,
        facts=facts,
        held=sum(bool(check["holds"]) for check in checks),
        checks=[{**check, **{k: _digits(check[k]) for k in ("value", "target", "tolerance")}} for check in checks],
        pictures=drawn,
        notes=notes,
        tables={name: _table(rows) for name, rows in (tables or {}).items()},
    )
    write_text(path, page)
    return path


def save_pictures(folder: Path, pictures: Sequence[tuple[str, Figure]]) -> list[Path]:
    """Write every (title, figure) as a PNG named by its title ("The race" is the-race.png); the paths.

    A title that comes again gets its place among all as a number.

    Raises:
        HoneError: a file cannot be written.
    """
    paths: list[Path] = []
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for title, figure in pictures:
            name = re.sub(r"[^a-z0-9]+", "-", title.lower().translate(_SPELT)).strip("-")
            path = folder / f"{name}.png"
            paths.append(folder / f"{name}-{len(paths) + 1}.png" if path in paths else path)
            save_png(figure, paths[-1])
    return paths


def _digits(value: float) -> str:
    """Enough digits to compare with a target of five."""
    return f"{value:.5g}".replace("-", "−") if abs(value) < 1e5 else number(value)


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Column names and the text of every cell."""
    names = list(rows[0]) if rows else []
    cells = [[_digits(v) if isinstance(v, float) else str(v) for v in (row[n] for n in names)] for row in rows]
    return {"names": names, "rows": cells}
