"""Questions from a file or the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hone.core.errors import HoneError
from hone.core.records import Record, require_columns
from hone.envs.graders._extract import Extraction
from hone.envs.graders.exact import Exact
from hone.envs.questions import Question
from hone.envs.tasks._records import RecordTask, render


@dataclass(frozen=True)
class Questions(RecordTask):
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

    def check(self, records: Sequence[Record], source: str) -> None:
        """Every record has a prompt and, if there is an answer column, a reference."""
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

    def content(self, record: Record) -> str:
        """The prompt's text."""
        prompt = record[self.prompt]
        return prompt if isinstance(prompt, str) else "\n".join(str(m["content"]) for m in prompt)

    def question(self, record: Record) -> Question:
        """The rendered prompt, the reference and the other columns."""
        columns = {name: value for name, value in record.items() if name != self.prompt}
        prompt = record[self.prompt]
        if isinstance(prompt, str):
            prompt = render(self.template, {**record, "prompt": prompt})
        if not self.answer:
            return Question(prompt, columns=columns)
        return Question(prompt, self._reference(record), columns, known=str(record[self.answer]))

    def _reference(self, record: Record) -> str:
        value = record[self.answer]
        return "" if value is None else self.gold.read(str(value)) or ""


def _is_prompt(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(m, Mapping) and {"role", "content"} <= m.keys() for m in value)
    return isinstance(value, str)
