"""Human feedback: import into a database, export to files, count.

usage: hone feedback import SOURCE [...] [--db FILE] [--split NAME] [--dialogues messages]
       hone feedback export FILE [--db FILE] [--layout hone]
       hone feedback stats [--db FILE]

SOURCE is a file (.jsonl, .json, .parquet, also .gz), a folder, a hub data set or another feedback database. Layouts of
export: hone (everything), preference, unpaired, scored, rewards, sft. --columns.completion response renames a column.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hone.core.errors import HoneError

if TYPE_CHECKING:
    from hone.data.feedback.store import FeedbackStore

VERBS = ("import", "export", "stats")


def run(argv: list[str]) -> None:
    """Do one of the three."""
    from hone.cli._recipes import split_flags
    from hone.core.errors import nearest
    from hone.core.extras import require_extra

    positional, settings, given = split_flags(argv, frozenset({"help"}))
    if "help" in given or not positional:
        print((__doc__ or "").strip())
        return
    verb, rest = positional[0], positional[1:]
    if verb not in VERBS:
        raise HoneError("hone feedback does not know this", got=f'"{verb}"', expected=nearest(verb, VERBS))
    known = {"db", *{"import": ("split", "dialogues"), "export": ("layout",), "stats": ()}[verb]}
    for key in settings:
        if key not in known and not (verb == "import" and key.startswith("columns.")):
            raise HoneError(f"unknown flag of hone feedback {verb}", got=f"--{key}", expected=nearest(key, known))
    wanted = {"import": "one source or more", "export": "one file", "stats": "no file"}[verb]
    if (verb == "import") != bool(rest) if verb != "export" else len(rest) != 1:
        raise HoneError(f"hone feedback {verb} takes {wanted}", got=" ".join(rest) or "none", do="hone feedback --help")
    require_extra("sqlalchemy")

    from hone.data.feedback.store import FeedbackStore

    where = settings.pop("db", "runs/feedback.db")
    store = FeedbackStore(where, create=verb == "import")
    try:
        if verb == "import":
            _import(store, rest, settings)
        elif verb == "export":
            _export(store, Path(rest[0]), settings.get("layout", "hone"))
        else:
            _stats(store)
    finally:
        store.close()


def _import(store: FeedbackStore, sources: list[str], settings: dict[str, str]) -> None:
    from hone.core.progress import Progress
    from hone.data.feedback.merging import Merged
    from hone.data.feedback.reading import read_feedback

    dialogues = settings.get("dialogues", "messages")
    if dialogues not in ("messages", "text"):
        raise HoneError("unknown kind of dialogues", got=dialogues, expected="messages or text")
    columns = {key.removeprefix("columns."): value for key, value in settings.items() if key.startswith("columns.")}
    for source in sources:
        read = read_feedback(source, split=settings.get("split"), columns=columns, dialogues=dialogues)  # type: ignore[arg-type]
        done = Merged()
        with Progress(f"importing {source}", len(read.entries)) as bar:
            for start in range(0, len(read.entries), 500):
                part = read.entries[start : start + 500]
                done += store.merge(part)
                bar.advance(by=len(part))
        beside = f" ({done.beside} beside another answer of the same person to the question)" if done.beside else ""
        back = f" ({done.taken_back} of them now taken back)" if done.taken_back else ""
        print(f"{source}: {done.new} labels imported{beside}, {done.known} were there already{back}")
        if read.left_out:
            place, why = read.left_out[0]
            print(f"{source}: {len(read.left_out)} rows make no label and were left out; the first, {place}: {why}")


def _export(store: FeedbackStore, path: Path, layout: str) -> None:
    from hone.data.feedback.writing import export_records, write_records

    records = export_records(store.entries(undone=layout == "hone"), layout)
    write_records(path, records)
    print(f"{path}: {len(records)} rows in the layout {layout}")


def _stats(store: FeedbackStore) -> None:
    from rich.console import Console
    from rich.table import Table

    from hone.data.feedback.entries import KINDS

    counts: dict[str, dict[str, int]] = {}
    for annotator, kind, count in store.counts():
        counts.setdefault(annotator, {})[kind] = count
    table = Table("annotator", *KINDS.values(), title=f"labels in {store.shown}")
    for annotator, kinds in counts.items():
        table.add_row(annotator or "(unknown)", *(str(kinds.get(kind, "–")) for kind in KINDS.values()))
    Console().print(table)
