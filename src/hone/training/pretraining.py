"""The section ``[ptx]`` of a recipe; what it does is in :mod:`hone.training.ptx`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class PtxConfig:
    """Pretraining text beside the rollouts: ``weight`` times its loss per token is added to every optimiser step.

    Attributes:
        weight: γ (InstructGPT: 27.8, in its own units).
        source: a file (JSONL, Parquet, text; .gz too) or a hub data set.
        task: a task whose ``corpus(n, seed)`` generates the text instead.
        examples: how many examples a task generates.
        split: of a hub data set or a folder.
        columns: names of the columns where they differ.
        train_on: every token, or the completion (and the end token) only.
        rows: rows of text per optimiser step.
        max_length: longest row in tokens; longer text is cut into rows, longer pairs are left out.
    """

    weight: float = 1.0
    source: str | None = None
    task: Any = None
    examples: int = 20000
    split: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    train_on: Literal["all", "completion"] = "all"
    rows: int = 32
    max_length: int = 512

    def __post_init__(self) -> None:
        """A corpus, and a weight that has an effect."""
        if (self.source is None) == (self.task is None):
            raise ValueError("ptx needs a corpus: give either ptx.source or ptx.task")
        if self.weight <= 0:
            raise ValueError(f"ptx.weight is {self.weight}; it must be positive, or leave [ptx] out")
        if self.rows < 1 or self.max_length < 2:
            raise ValueError("ptx.rows must be at least 1 and ptx.max_length at least 2")
        if self.source is not None and self.examples != PtxConfig.examples:
            raise ValueError("ptx.examples has no effect on ptx.source: a file is read whole")
        if self.task is not None and (self.split is not None or self.columns):
            raise ValueError("ptx.split and ptx.columns have no effect on ptx.task: it generates its text")
