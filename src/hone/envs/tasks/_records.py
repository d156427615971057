"""What tasks share whose questions stand in a file or on the hub."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from hone.core.errors import HoneError, nearest
from hone.core.records import Record, read_records
from hone.envs.graders.base import Grader
from hone.envs.graders.rubric import Rubric
from hone.envs.questions import Question, QuestionTask
from hone.envs.split import side


class RecordTask(QuestionTask):
    """Questions from records, split by content.

    A record is on the test side by a hash of its content (case and white space ignored), so duplicates fall
    on the same side and the same question is never on both; with a ``test`` source of its own, a training
    question that also stands there is left out of training.

    A subclass is a frozen dataclass with the fields named here, and says what a record holds.
    """

    path: str
    test: str
    test_fraction: float
    split: str | None
    test_split: str | None
    limit: int | None
    graders: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.test_fraction < 1:
            raise ValueError("test_fraction must be at least 0 and below 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError("limit must be at least 1")
        object.__setattr__(self, "graders", Rubric(self.graders).graders)

    def check(self, records: Sequence[Record], source: str) -> None:
        """Refuse records that hold no question of this kind.

        Raises:
            HoneError: names the source and the record.
        """
        raise NotImplementedError

    def content(self, record: Record) -> str:
        """What decides on which side a record is."""
        raise NotImplementedError

    def question(self, record: Record) -> Question:
        """The question in a record."""
        raise NotImplementedError

    @cached_property
    def grader(self) -> Grader:
        """The rubric; the grader itself where there is one of weight 1."""
        only = self.graders[0] if len(self.graders) == 1 else None
        return only.grader if only is not None and only.weight == 1 else Rubric(self.graders)

    def build(self, split: str) -> Sequence[Question]:
        """Read, split and render the records."""
        found = [record for record, where in self._records if where == split]
        return [self.question(record) for record in found[: self.limit]]

    @cached_property
    def _records(self) -> list[tuple[Record, str]]:
        source = self.test or (self.path if self.test_split is not None else "")
        own = self._read(self.path, self.split)
        if not source:
            return [(record, side(self._content(record), self.test_fraction)) for record in own]
        held_out = self._read(source, self.test_split)
        contents = {self._content(record) for record in held_out}
        train = [(record, "train") for record in own if self._content(record) not in contents]
        return train + [(record, "test") for record in held_out]

    def _read(self, source: str, split: str | None) -> list[Record]:
        records = read_records(source, split)
        self.check(records, source)
        return records

    def _content(self, record: Record) -> str:
        return " ".join(self.content(record).casefold().split())


def render(template: str, values: Record) -> str:
    """A template with its columns filled in.

    Raises:
        HoneError: it names a column that is not there, or is faulty.
    """
    try:
        return template.format_map(values)
    except KeyError as error:
        name = str(error.args[0])
        raise HoneError(
            "the template names a column that is not there",
            where="template",
            got="{" + name + "}",
            expected=nearest(name, values),
        ) from error
    except (ValueError, IndexError, AttributeError) as error:
        raise HoneError("the template is faulty", where="template", got=str(error)) from error
