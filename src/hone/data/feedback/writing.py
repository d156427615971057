"""Feedback to files: everything in hone's own layout, or the part that a layout of the hub can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from hone.core.errors import HoneError, nearest
from hone.core.feedback import Answer, Demonstration, Label, Rating, Text, comparisons_of, messages
from hone.core.files import disk_errors, write_json_lines
from hone.core.records import Record
from hone.data.feedback.entries import Entry, to_record
from hone.functional.scalar_reward import scalar_rewards


def export_records(entries: Sequence[Entry], layout: str = "hone") -> list[Record]:
    """Rows of a layout.

    Args:
        entries: as the store gives them.
        layout: ``hone`` (everything), ``preference`` (comparisons and rankings as pairs, without ties), ``unpaired``
            (thumbs), ``scored`` (scores), ``rewards`` (one normalised score per compared answer), ``sft``
            (demonstrations).

    Raises:
        HoneError: an unknown layout, or nothing that it could hold.
    """
    if layout not in LAYOUTS:
        raise HoneError("unknown layout", got=f'"{layout}"', expected=nearest(layout, LAYOUTS))
    rows = LAYOUTS[layout](entries)
    if not rows:
        raise HoneError(f'there is no label that the layout "{layout}" could hold', got=f"{len(entries)} labels")
    return rows


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write rows as ``.jsonl`` or ``.parquet``, whole or not at all.

    Raises:
        HoneError: another kind of file, or the file cannot be written.
    """
    if path.suffix == ".jsonl":
        write_json_lines(path, records)
    elif path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        temporary = path.with_name(f".{path.name}.part")
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(records)), temporary)
            temporary.replace(path)
    else:
        raise HoneError("feedback is written as .jsonl or .parquet", got=str(path))


def _own(entries: Sequence[Entry]) -> list[Record]:
    return [to_record(entry) for entry in entries]


def _preference(entries: Sequence[Entry]) -> list[Record]:
    pairs = [c for c in comparisons_of(_labels(entries)) if not c.tie]
    chat = _chat((c.prompt, c.chosen, c.rejected) for c in pairs)
    return [
        {
            "prompt": _shaped(c.prompt, "user", chat),
            "chosen": _shaped(c.chosen.text, "assistant", chat),
            "rejected": _shaped(c.rejected.text, "assistant", chat),
            **_from("chosen_", c.chosen),
            **_from("rejected_", c.rejected),
            "annotator": c.annotator,
            "margin": c.margin,
        }
        for c in pairs
    ]


def _ratings(ratings: Sequence[Rating], column: str, value: Callable[[Rating], Any]) -> list[Record]:
    chat = _chat((r.prompt, r.answer) for r in ratings)
    return [
        {
            "prompt": _shaped(r.prompt, "user", chat),
            "completion": _shaped(r.answer.text, "assistant", chat),
            column: value(r),
            **_from("", r.answer),
            "annotator": r.annotator,
        }
        for r in ratings
    ]


def _unpaired(entries: Sequence[Entry]) -> list[Record]:
    thumbs = [r for r in _labels(entries) if isinstance(r, Rating) and r.thumb is not None]
    return _ratings(thumbs, "label", lambda r: r.thumb)


def _scored(entries: Sequence[Entry]) -> list[Record]:
    scores = [r for r in _labels(entries) if isinstance(r, Rating) and r.score is not None]
    return _ratings(scores, "score", lambda r: r.score)


def _rewards(entries: Sequence[Entry]) -> list[Record]:
    return _ratings(scalar_rewards(comparisons_of(_labels(entries))), "score", lambda r: r.score)


def _sft(entries: Sequence[Entry]) -> list[Record]:
    written = [d for d in _labels(entries) if isinstance(d, Demonstration)]
    chat = _chat((d.prompt, d.answer) for d in written)
    return [
        {
            "prompt": _shaped(d.prompt, "user", chat),
            "completion": _shaped(d.answer.text, "assistant", chat),
            "annotator": d.annotator,
        }
        for d in written
    ]


LAYOUTS: dict[str, Callable[[Sequence[Entry]], list[Record]]] = {
    "hone": _own,
    "preference": _preference,
    "unpaired": _unpaired,
    "scored": _scored,
    "rewards": _rewards,
    "sft": _sft,
}
"""What a file can be written as."""


def _labels(entries: Sequence[Entry]) -> list[Label]:
    return [entry.label for entry in entries if not entry.undone]


def _chat(rows: Iterable[Sequence[Text | Answer]]) -> bool:
    """Any text is messages: then all are written so, for a column has one type."""
    texts = (value.text if isinstance(value, Answer) else value for row in rows for value in row)
    return any(not isinstance(text, str) for text in texts)


def _shaped(text: Text, role: str, chat: bool) -> Text:
    return messages(text, role) if chat else text


def _from(prefix: str, answer: Answer) -> Record:
    return {f"{prefix}model": answer.model, f"{prefix}checkpoint": answer.checkpoint}
