"""Records (rows of named columns) from JSON lines, JSON, Parquet, a folder or the Hugging Face hub."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from hone.core.errors import HoneError, nearest

Record = dict[str, Any]

_HUB_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(:(?P<config>[\w.-]+))?")
_FILES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


def read_records(source: str, split: str | None = None) -> list[Record]:
    """Every record of a data set, in its order.

    Args:
        source: a file (``.jsonl``, ``.json`` holding a list, either with ``.gz``, or ``.parquet``), a folder
            of such files, or a hub data set ``owner/name``, with a configuration ``owner/name:config``. A
            name that ends like a file is never looked up on the hub.
        split: of a folder or hub data set (default ``train``); a file has none.

    Raises:
        HoneError: nothing there, not readable, a malformed line (named by file and line), no records, or a
            ``split`` of a file.
    """
    path = Path(source).expanduser()
    if path.is_file() or source.endswith(_FILES):
        if split is not None:
            raise HoneError("a file has no splits", where=source, got=f'split "{split}"', do="name another file")
        records = _parquet(path) if path.suffix == ".parquet" else _json_file(path)
    else:
        records = _datasets(source, path, split or "train")
    if not records:
        raise HoneError("the data set has no records", where=source)
    return records


def require_columns(records: Sequence[Record], names: Iterable[str], source: str) -> None:
    """Check that every record has these columns.

    Raises:
        HoneError: one lacks a column; names the record (counted from 1), the columns there and the nearest.
    """
    wanted = list(names)
    for number, record in enumerate(records, start=1):
        for name in wanted:
            if name not in record:
                raise HoneError(
                    f'the data has no column "{name}"',
                    where=f"{source}, record {number}",
                    got=f"columns: {', '.join(record) or 'none'}",
                    expected=nearest(name, record) if record else "",
                )


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _json_file(path: Path) -> list[Record]:
    stem = path.with_suffix("") if path.suffix == ".gz" else path
    if stem.suffix not in (".jsonl", ".json"):
        raise HoneError("the data file is of an unknown kind", where=str(path), expected=f"one of: {', '.join(_FILES)}")
    try:
        with _open(path) as file:
            return _json_list(path, file.read()) if stem.suffix == ".json" else _json_lines(path, file)
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HoneError("the data file cannot be read", where=str(path), got=reason) from error


def _json_lines(path: Path, lines: Iterable[bytes]) -> list[Record]:
    records = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            records.append(_record(_parse(line, f"{path}:{number}"), f"{path}:{number}"))
    return records


def _json_list(path: Path, text: bytes) -> list[Record]:
    value = _parse(text, str(path))
    if not isinstance(value, list):
        raise HoneError(
            "the JSON file does not hold a list of records",
            where=str(path),
            got=type(value).__name__,
            do="name the file .jsonl if each of its lines is a record",
        )
    return [_record(item, f"{path}, record {number}") for number, item in enumerate(value, start=1)]


def _parse(text: bytes, where: str) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise HoneError("malformed JSON", where=where, got=str(error), expected="UTF-8 JSON") from error


def _record(value: Any, where: str) -> Record:
    if not isinstance(value, dict):
        raise HoneError(
            "a record is not a JSON object",
            where=where,
            got=type(value).__name__,
            expected='{"column": value, ...}',
        )
    return value


def _parquet(path: Path) -> list[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[Record] = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise HoneError("the Parquet file cannot be read", where=str(path), got=str(error)) from error
    return rows


def _datasets(source: str, path: Path, split: str) -> list[Record]:
    hub = _HUB_NAME.fullmatch(source)
    if not path.is_dir() and hub is None:
        raise HoneError(
            "no such data",
            where=source,
            expected=f"a file ({', '.join(_FILES)}), a folder, or a hub data set owner/name[:config]",
        )
    import datasets

    try:
        if path.is_dir():
            loaded = datasets.load_dataset(str(path), split=split)
        else:
            assert hub is not None
            loaded = datasets.load_dataset(hub["name"], hub["config"], split=split)
    except Exception as error:  # the library raises its own, the hub's, the network's and Arrow's errors
        raise HoneError(
            "the data set cannot be loaded",
            where=f'{source}, split "{split}"',
            got=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}",
            expected="a local file or folder, or a data set on the hub",
        ) from error
    return [dict(row) for row in loaded]
