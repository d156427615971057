"""Rows of text as a table on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def print_rows(rows: Sequence[Mapping[str, str]], title: str) -> None:
    """One line per row; the first column is left-aligned, the others right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False, title=title, title_justify="left")
    for i, name in enumerate(rows[0] if rows else ()):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
