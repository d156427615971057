"""What people said, as a section of a recipe: read, cleaned, and split by prompt."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from hone.core.errors import HoneError
from hone.core.feedback import Label, Skip
from hone.data.feedback.layouts import Dialogues
from hone.data.feedback.reading import read_feedback
from hone.data.preferences import split_labels


@dataclass(frozen=True)
class FeedbackConfig:
    """What people said.

    Attributes:
        source: a feedback database (a file that ends in .db or .sqlite, or a URL), a file (JSONL, Parquet; .gz too), a
            folder or a hub data set.
        split: of a hub data set or a folder.
        columns: names of the columns where they differ: ``completion = "response"``.
        dialogues: what HH-RLHF's dialogues become: messages, or plain text as they are.
        validation: share of the prompts held out, by content; of conversations by their first message.
        limit: at most so many labels to train on, the first ones; 0 takes all.
        min_gap: two ratings of one annotator make a pair only where they differ by at least this.
        max_pairs: most pairs that the ratings of one prompt make, drawn at random; 0 makes all.
        max_length: longest row in tokens; a comparison with a longer answer is left out whole and counted.
    """

    source: str
    split: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    dialogues: Dialogues = "messages"
    validation: float = 0.1
    limit: int = 0
    min_gap: float = 0.0
    max_pairs: int = 16
    max_length: int = 1024

    def __post_init__(self) -> None:
        """Refuse shares and sizes that mean nothing."""
        if not 0 <= self.validation < 1:
            raise ValueError(f"data.validation is {self.validation}; it is a share from 0 to below 1")
        if min(self.limit, self.min_gap, self.max_pairs) < 0 or self.max_length < 2:
            raise ValueError(
                "data.limit, data.min_gap and data.max_pairs must not be negative, data.max_length at least 2"
            )


def read_labels(data: FeedbackConfig) -> tuple[list[Label], list[Label]]:
    """What people said, to train on and held out by prompt; rows that make no label are counted on stderr.

    Raises:
        HoneError: the data cannot be read, or no label is left.
    """
    found = read_feedback(data.source, split=data.split, columns=data.columns, dialogues=data.dialogues)
    if found.left_out:
        where, why = found.left_out[0]
        print(
            f"{len(found.left_out):,} rows make no label and are left out; the first, {where}: {why}", file=sys.stderr
        )
    train, held_out = split_labels((label for label in found.labels if not isinstance(label, Skip)), data.validation)
    if not train:
        raise HoneError("no label is left to train on", where=data.source, do="lower data.validation")
    return train[: data.limit or None], held_out
