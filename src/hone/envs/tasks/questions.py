"""Questions from a file or the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hone.core.errors import HoneError, nearest
from hone.core.records import Record, read_records, require_columns
from hone.envs.graders._extract import Extraction
from hone.envs.graders.base import Grader
from hone.envs.graders.exact import Exact
from hone.envs.graders.rubric import Rubric
from hone.envs.questions import Question, QuestionTask
from hone.envs.split import side


@dataclass(frozen=True)
class Questions(QuestionTask):
    """Questions with reference answers (or with a reward function alone), split by content.

    A record is on the test side by a hash of its prompt (case and white space ignored), so duplicates fall
    on the same side and the same question is never on both; with a ``test`` source of its own, a training
    question that also stands there is left out of training. Graders see every column of the record but the
    prompt, the column ``answer`` holding what ``gold`` reads.

    Attributes:
        path: a file, a folder or a hub data set, see :func:`hone.core.records.read_records`.
        prompt: column of the question: text, or a conversation (role/content dictionaries).
        answer: column of the reference answer; "" if the rewards need none.
        template: the prompt's text; ``{prompt}`` and any column may stand in it. A conversation has none.
        gold: how the reference is read out of the answer column, for example ``marker = "####"`` (GSM8K).
        test: source of the test questions; "" to hold out ``test_fraction`` of ``path``.
        test_fraction: the fraction held out; 0 for no test split. Not used with ``test``.
        split: split of ``path``, if it is a folder or on the hub.
        test_split: split of ``test`` likewise; with it alone, that split of ``path`` is the test source.
        limit: at most so many questions in each split.
        graders: criteria of a :class:`Rubric`: graders, functions, names or tables.
    """

    path: str
    prompt: str = "prompt"
    answer: str = "answer"
    template: str = "{prompt}"
    gold: Extraction = field(default_factory=Extraction)
    test: str = ""
    test_fraction: float = 0.1
    split: str | None = None
    test_split: str | None = None
    limit: int | None = None
    graders: tuple[Any, ...] = (Exact(),)

    def __post_init__(self) -> None:
        if not 0 <= self.test_fraction < 1:
            raise ValueError("test_fraction must be at least 0 and below 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit must be at least 1")
        object.__setattr__(self, "graders", Rubric(self.graders).graders)

    @cached_property
    def grader(self) -> Grader:
        """The rubric; the grader itself where there is one of weight 1."""
        only = self.graders[0] if len(self.graders) == 1 else None
        return only.grader if only is not None and only.weight == 1 else Rubric(self.graders)

    def build(self, split: str) -> Sequence[Question]:
        """Read, split and render the records."""
        found = [record for record, where in self._records if where == split]
        return [self._question(record) for record in found[: self.limit]]

    @cached_property
    def _records(self) -> list[tuple[Record, str]]:
        source = self.test or (self.path if self.test_split is not None else "")
        own = self._read(self.path, self.split)
        if not source:
            return [(record, side(_content(record[self.prompt]), self.test_fraction)) for record in own]
        held_out = self._read(source, self.test_split)
        contents = {_content(record[self.prompt]) for record in held_out}
        train = [(record, "train") for record in own if _content(record[self.prompt]) not in contents]
        return train + [(record, "test") for record in held_out]

    def _read(self, source: str, split: str | None) -> list[Record]:
        records = read_records(source, split)
        require_columns(records, [self.prompt, *([self.answer] if self.answer else [])], source)
        for number, record in enumerate(records, start=1):
            if not _is_prompt(record[self.prompt]):
                raise HoneError(
                    "the prompt is neither text nor a conversation",
                    where=f"{source}, record {number}",
                    got=repr(record[self.prompt])[:80],
                    expected='text or [{"role": ..., "content": ...}, ...]',
                )
            if self.answer and not self._reference(record):
                raise HoneError(
                    "no reference answer can be read",
                    where=f'{source}, record {number}, column "{self.answer}"',
                    got=repr(record[self.answer])[:80],
                    expected=f"an answer by {self.gold}",
                )
        return records

    def _reference(self, record: Record) -> str:
        value = record[self.answer]
        return "" if value is None else self.gold.read(str(value)) or ""

    def _question(self, record: Record) -> Question:
        columns = {name: value for name, value in record.items() if name != self.prompt}
        prompt = record[self.prompt]
        if isinstance(prompt, str):
            prompt = self._render(prompt, record)
        if not self.answer:
            return Question(prompt, columns=columns)
        return Question(prompt, self._reference(record), columns, known=str(record[self.answer]))

    def _render(self, prompt: str, record: Record) -> str:
        try:
            return self.template.format_map({**record, "prompt": prompt})
        except KeyError as error:
            name = str(error.args[0])
            raise HoneError(
                "the template names a column that is not there",
                where="template",
                got="{" + name + "}",
                expected=nearest(name, {"prompt", *record}),
            ) from error
        except (ValueError, IndexError, AttributeError) as error:
            raise HoneError("the template is faulty", where="template", got=str(error)) from error


def _is_prompt(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(m, Mapping) and {"role", "content"} <= m.keys() for m in value)
    return isinstance(value, str)


def _content(prompt: Any) -> str:
    text = prompt if isinstance(prompt, str) else "\n".join(str(m["content"]) for m in prompt)
    return " ".join(text.casefold().split())
