"""Text rows from files or the hub, in the layouts that TRL documents.

Language modelling (``text``), prompt only (``prompt``), prompt and completion (``prompt``, ``completion``)
and conversations (``messages``, or ``prompt`` and ``completion`` as lists of messages). Beside these, ``pieces``: texts
in order, each with whether it is learnt, as pairs.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from hone.core.errors import HoneError
from hone.core.records import Record, read_records, require_columns

Layout = Literal["text", "messages", "pieces", "prompt-completion", "prompt"]


def read_rows(
    source: str,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    required: Sequence[str] = (),
) -> list[Record]:
    """The rows of a data set under the names that hone knows.

    Args:
        source: what :func:`hone.core.records.read_records` reads, or a text file (``.txt``, ``.txt.gz``),
            which is one row whose ``text`` is the whole file.
        split: of a folder or hub data set (default ``train``).
        columns: the data's name for each of hone's, for example ``{"prompt": "question", "completion":
            "answer"}``; other columns keep their names.
        required: columns (after renaming) that every row must have.

    Raises:
        HoneError: no such source, a malformed line (named by file and line), a missing column (names those
            there).
    """
    rows = _text_file(source, split) if source.endswith((".txt", ".txt.gz")) else read_records(source, split)
    renamed = dict(columns or {})
    require_columns(rows, renamed.values(), source)
    back = {theirs: ours for ours, theirs in renamed.items()}
    # A renamed column replaces one that had hone's name already.
    rows = [
        {back.get(name, name): value for name, value in row.items() if name in back or name not in renamed}
        for row in rows
    ]
    require_columns(rows, required, source)
    return rows


def read_examples(source: str, columns: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Prompt and completion of every row as text; a row of plain text has the prompt "".

    Raises:
        HoneError: as :func:`read_rows`, or a row that is neither text nor prompt and completion as strings.
    """
    examples: list[tuple[str, str]] = []
    for number, row in enumerate(read_rows(source, columns=columns), start=1):
        kind = layout(row)
        prompt, completion = ("", row["text"]) if kind == "text" else (row.get("prompt"), row.get("completion"))
        if not isinstance(prompt, str) or not isinstance(completion, str):
            raise HoneError(
                "this row is not text to learn from",
                where=f"{source}, record {number}",
                got=f"columns: {', '.join(row)}",
                expected="text, or prompt and completion, as strings",
            )
        examples.append((prompt, completion))
    return examples


def layout(row: Record) -> Layout:
    """The layout that a row's columns make.

    Raises:
        HoneError: none of them.
    """
    if "messages" in row:
        return "messages"
    if "pieces" in row:
        return "pieces"
    if "prompt" in row:
        return "prompt-completion" if "completion" in row else "prompt"
    if "text" in row:
        return "text"
    raise HoneError(
        "the data has no column to learn from",
        got=f"columns: {', '.join(row) or 'none'}",
        expected="text; messages; or prompt and completion",
        do='name them, for example columns = {prompt = "question", completion = "answer"}',
    )


def _text_file(source: str, split: str | None) -> list[Record]:
    path = Path(source).expanduser()
    if split is not None:
        raise HoneError("a file has no splits", where=source, got=f'split "{split}"', do="name another file")
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HoneError("the text file cannot be read", where=source, got=reason) from error
    except UnicodeDecodeError as error:
        raise HoneError("the text file is not UTF-8", where=source, got=str(error)) from error
    if not text:
        raise HoneError("the text file is empty", where=source)
    return [{"text": text}]
