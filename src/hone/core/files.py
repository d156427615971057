"""Files that are either whole or absent: atomic writes, JSON lines that survive a cut, and a full disk said plainly."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hone.core.errors import HoneError


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn what a full or read-only disk raises into one clear :class:`HoneError`."""
    try:
        yield
    except HoneError:
        raise
    except Exception as error:
        text = str(error)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left" in text or "os error 28" in text or "StorageFull" in text:
            raise HoneError(
                "the disk is full: nothing more can be written",
                where=str(where),
                do="free some space, then resume; everything that was complete is still there",
            ) from error
        if isinstance(error, OSError):
            raise HoneError("cannot write", where=str(where), got=error.strerror or text) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Replace a file by a new one, atomically and durably."""
    temporary = path.with_name(f".{path.name}.part")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a JSONL file that a run wrote; a last line cut by a crash is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().split(b"\n"):
        if line:
            try:
                rows.append(json.loads(line))
            except ValueError:  # not JSON, or cut inside a character
                break
    return rows


def append_json_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append one line and hand it to the operating system before returning."""
    with disk_errors(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(value, ensure_ascii=False) + "\n")


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory that appears whole under its name or not at all: filled under a temporary name, then renamed."""
    temporary = path.with_name(f".{path.name}.part")
    with disk_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            if path.exists():
                shutil.rmtree(path)
            temporary.rename(path)
            _sync(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
