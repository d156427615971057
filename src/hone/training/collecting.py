"""Rows that are made in parts: a part is on the disk whole or not at all, so a killed collection loses one at most."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from hone.core.files import read_json_lines, write_json_lines, write_text
from hone.core.progress import Progress
from hone.core.records import Record

T = TypeVar("T")

ROWS = "rows.jsonl"
"""Where the rows of a finished collection are, in its folder."""


def in_parts(
    folder: Path, items: Sequence[T], make: Callable[[int, Sequence[T]], Iterable[Record]], *, size: int, title: str
) -> list[Record]:
    """Rows for all items; those of the parts that a killed process had finished are read, not made again.

    Args:
        folder: gets ``rows.jsonl``, in the order of the items; until then finished parts are in ``parts/``.
        items: what rows are made for.
        make: ``make(first, part)`` gives the rows of ``items[first : first + size]``, any number of them. They may
            depend on nothing but that and keyed noise (:mod:`hone.core.seeding`); what a clock or a person decides is
            thereby recorded.
        size: items per part.
        title: of the progress bar.

    Returns:
        The rows as JSON gives them back.
    """
    whole, parts = folder / ROWS, folder / "parts"
    if not whole.exists():
        with Progress(title, len(items)) as bar:
            for first in range(0, len(items), size):
                part, path = items[first : first + size], parts / f"{first:09d}.jsonl"
                if not path.exists():
                    write_json_lines(path, make(first, part))
                bar.advance(by=len(part))
        write_text(whole, "".join(path.read_text(encoding="utf-8") for path in sorted(parts.glob("*.jsonl"))))
    shutil.rmtree(parts, ignore_errors=True)
    return read_json_lines(whole)
