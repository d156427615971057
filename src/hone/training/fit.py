"""The supervised loop: pretraining and supervised fine-tuning on rows of text."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from hone.algorithms.nll import NLL
from hone.core.config import plain
from hone.core.errors import HoneError
from hone.core.records import Record
from hone.core.seeding import key
from hone.data.rows import Example, encode_rows
from hone.data.sources import read_rows
from hone.models.chat import Renderer
from hone.models.config import ModelConfig
from hone.models.policy import Policy, load
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import bpe_tokenizer, byte_tokenizer, char_tokenizer
from hone.training.fitting import FitLoop, check_fits
from hone.training.recipe import ONLINE_ONLY, PACKAGES, OptimiserConfig, RunConfig
from hone.training.run import Run


@dataclass(frozen=True)
class DataConfig:
    """What to learn from.

    Attributes:
        source: a file (JSONL, Parquet, text; .gz too) or a hub data set.
        task: a task whose ``corpus(n, seed)`` generates the text instead.
        examples: how many examples a task generates.
        split: of a hub data set or a folder.
        columns: names of the columns where they differ: ``prompt = "question"``, ``completion = "answer"``.
        train_on: every token, or the completion (and the end token) only.
        validation: share of the rows held out, by content.
        max_length: longest row in tokens; longer text is cut into rows, longer pairs are left out and counted.
    """

    source: str | None = None
    task: Any = None
    examples: int = 20000
    split: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    train_on: Literal["all", "completion"] = "completion"
    validation: float = 0.02
    max_length: int = 512

    def __post_init__(self) -> None:
        """Exactly one origin."""
        if (self.source is None) == (self.task is None):
            raise ValueError("give either data.source or data.task")
        if self.source is not None and self.examples != DataConfig.examples:
            raise ValueError("data.examples has no effect on data.source: a file is read whole")
        if self.task is not None and (self.split is not None or self.columns):
            raise ValueError("data.split and data.columns have no effect on data.task: it generates its text")
        if not 0 <= self.validation < 1:
            raise ValueError(f"data.validation is {self.validation}; it is a share from 0 to below 1")


@dataclass(frozen=True)
class FitRecipe:
    """A supervised run.

    Attributes:
        data: what to learn from.
        model: the model to start from; none to pretrain a tiny one from scratch.
        tiny: shape of that tiny model.
        tokenizer: its tokenizer: characters of the data, bytes, or byte-pair encoding of ``vocabulary`` entries.
        vocabulary: size of a byte-pair vocabulary.
        rows: rows per optimiser step.
        micro_tokens: most tokens of one forward pass.
        algorithm: what the loss is: ``nll``, or an algorithm of your own that needs no rollouts.
        optimiser: AdamW.
        run: the run directory; ``evaluate_every`` measures the validation loss.
    """

    data: DataConfig
    model: ModelConfig | None = None
    tiny: TinyConfig = field(default_factory=TinyConfig)
    tokenizer: Literal["char", "byte", "bpe"] = "char"
    vocabulary: int = 2048
    rows: int = 64
    micro_tokens: int = 16384
    algorithm: Any = field(default_factory=NLL)
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=2e-3, warmup=100, schedule="linear"))
    run: RunConfig = field(default_factory=lambda: RunConfig(out="runs/base", steps=1000, save_every=500))

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing and keys that would have no effect."""
        check_scratch(self)
        check_offline(self.run)


@dataclass(frozen=True)
class SftRecipe(FitRecipe):
    """Fine-tuning of a model that can already speak: gentler defaults, and a folder of its own.

    Attributes:
        optimiser: AdamW.
        run: the run directory; ``evaluate_every`` measures the validation loss.
    """

    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=1e-5, warmup=20, schedule="linear"))
    run: RunConfig = field(default_factory=lambda: RunConfig(out="runs/sft", steps=500, save_every=250))


def fit(recipe: FitRecipe, *, resume: bool = False) -> Run:
    """Pretrain or fine-tune by a recipe; returns the finished run.

    Raises:
        HoneError: the data or the model cannot be used, or the run cannot be resumed.
    """
    check_fits(recipe.algorithm)
    run, config = Run(Path(recipe.run.out)), plain(recipe, PACKAGES)
    run.check(config, resume=resume)
    records = records_of(recipe.data, recipe.run.seed)
    texts = [text for record in records for text in _texts(record)]
    policy = load(recipe.model) if recipe.model else from_scratch(recipe, texts)
    train_rows, held_out = _rows(recipe, policy, records)
    loop = FitLoop(recipe, policy, run, train_rows, held_out)
    run.begin(config, resume=resume, data=digest_of(records))
    parameters = sum(p.numel() for _, p in policy.trainable())
    print(
        f"{len(train_rows):,} rows to train on, {len(held_out):,} held out; {recipe.rows} rows a step; "
        f"{parameters:,} trainable parameters on {policy.device}",
        file=sys.stderr,
    )
    loop.session.drive("fit" if recipe.model else "pretraining", loop.step, resume=resume, note="loss")
    return run


def digest_of(records: Sequence[Record]) -> str:
    """A digest of the text, not of its ids: another alphabet can have the same ids."""
    digest = hashlib.blake2b(digest_size=16)
    for record in records:
        digest.update(repr(sorted(record.items())).encode())
    return digest.hexdigest()


class Corpus(Protocol):
    """Where text comes from: the fields of :class:`DataConfig` that say so."""

    @property
    def source(self) -> str | None:
        """A file or a hub data set."""

    @property
    def task(self) -> Any:
        """A task that generates its text, instead."""

    @property
    def examples(self) -> int:
        """How many examples a task generates."""

    @property
    def split(self) -> str | None:
        """Of a hub data set or a folder."""

    @property
    def columns(self) -> dict[str, str]:
        """Names of columns where they differ."""


def records_of(data: Corpus, seed: int, where: str = "data") -> list[Record]:
    """The records of a corpus, read or generated.

    Raises:
        HoneError: it cannot be read, or the task generates none.
    """
    if data.task is None:
        assert data.source is not None
        return read_rows(data.source, split=data.split, columns=data.columns)
    if not hasattr(data.task, "corpus"):
        raise HoneError("this task generates no corpus", where=f"{where}.task", got=type(data.task).__name__)
    written = data.task.corpus(data.examples, seed)
    return [each if isinstance(each, dict) else {"prompt": each[0], "completion": each[1]} for each in written]


class Scratch(Protocol):
    """What a recipe says about a model from scratch."""

    @property
    def model(self) -> ModelConfig | None:
        """The model to start from instead."""

    @property
    def tiny(self) -> TinyConfig:
        """Shape of the tiny model."""

    @property
    def tokenizer(self) -> str:
        """ "char", "byte" or "bpe"."""

    @property
    def vocabulary(self) -> int:
        """Size of a byte-pair vocabulary."""

    @property
    def rows(self) -> int:
        """Examples per optimiser step."""

    @property
    def micro_tokens(self) -> int:
        """Most tokens of one forward pass."""

    @property
    def run(self) -> RunConfig:
        """Has the seed."""


def check_scratch(recipe: Scratch) -> None:
    """Refuse sizes that mean nothing, and keys of a model from scratch that would have no effect.

    Raises:
        ValueError: says which.
    """
    if recipe.rows < 1 or recipe.micro_tokens < 1:
        raise ValueError("rows and micro_tokens must be at least 1")
    if recipe.model is not None and (recipe.tiny, recipe.tokenizer, recipe.vocabulary) != (TinyConfig(), "char", 2048):
        raise ValueError("tiny, tokenizer and vocabulary make a model from scratch: they have no effect on [model]")
    if recipe.tokenizer != "bpe" and recipe.vocabulary != 2048:
        raise ValueError('vocabulary has no effect unless tokenizer = "bpe"')


def check_offline(run: RunConfig) -> None:
    """Refuse keys of the run that mean something to rollouts only.

    Raises:
        ValueError: says which.
    """
    for name in ONLINE_ONLY:
        if getattr(run, name) != getattr(RunConfig, name):
            raise ValueError(f"run.{name} has no effect without rollouts: leave it out")


def from_scratch(recipe: Scratch, texts: Sequence[str]) -> Policy:
    """A tiny model with random weights, and a tokenizer made from texts."""
    if recipe.tokenizer == "char":
        tokenizer = char_tokenizer(texts)
    else:
        tokenizer = byte_tokenizer() if recipe.tokenizer == "byte" else bpe_tokenizer(texts, recipe.vocabulary)
    return create_tiny(recipe.tiny, tokenizer, recipe.run.seed)


def _texts(record: Record) -> Iterator[str]:
    for value in record.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (part["content"] if isinstance(part, Mapping) else part[0] for part in value)


def _rows(recipe: FitRecipe, policy: Policy, records: Sequence[Record]) -> tuple[list[Example], list[Example]]:
    """Train and held-out rows; a row's side depends on its content alone, so duplicates fall on one side."""
    data = recipe.data
    length = min(data.max_length, policy.max_length)
    rows = encode_rows(Renderer(policy.tokenizer), records, length, train_prompt=data.train_on == "all")
    if not any("text" in record for record in records) and len(rows) < len(records):
        print(f"{len(records) - len(rows)} records are longer than {length} tokens: left out", file=sys.stderr)
    sides: tuple[list[Example], list[Example]] = ([], [])
    for row in rows:
        sides[key("validation", str(row.tokens)) < data.validation * 2**64].append((row,))
    if not sides[0]:
        raise HoneError("no row is left to train on", got=f"{len(records)} records", do="raise data.max_length")
    return sides
