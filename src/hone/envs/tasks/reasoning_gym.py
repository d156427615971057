"""Any data set of reasoning-gym, judged by its own scorer."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from hone.core.errors import HoneError, nearest
from hone.core.types import Outcome, Scored
from hone.envs.graders._extract import Extraction
from hone.envs.graders.base import Columns, Grader, Prompt
from hone.envs.graders.function import Function
from hone.envs.graders.math import has_huge_power
from hone.envs.questions import Question, QuestionTask
from hone.envs.split import side


@dataclass(frozen=True)
class ReasoningGym(QuestionTask):
    """Procedurally generated questions with the scorer that belongs to them, 0 to 1, some with partial
    credit.

    Generated questions that repeat are dropped; the rest are split by a hash of their text. The scorer runs
    in a child process: some evaluate the answer as an expression.

    Attributes:
        dataset: its name in reasoning-gym, for example ``countdown``.
        count: how many questions are generated, for both splits together.
        seed: of the generator.
        config: options of the data set itself.
        answer: how the answer is read out of a completion; the whole text by default.
        test_fraction: fraction of questions on the test side.
        timeout: seconds per scoring call.
    """

    dataset: str
    count: int = 1000
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    answer: Extraction = field(default_factory=Extraction)
    test_fraction: float = 0.1
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.test_fraction < 1:
            raise ValueError("count must be at least 1, and test_fraction at least 0 and below 1")

    @cached_property
    def grader(self) -> Grader:
        """The data set's own scorer."""
        return Scorer(self.answer, self.timeout)

    def build(self, split: str) -> Sequence[Question]:
        """Generate, drop repetitions, split."""
        return [q for q in self._questions if side(q.text, self.test_fraction) == split]

    @cached_property
    def _questions(self) -> list[Question]:
        made = _dataset(self.dataset, self.count, self.seed, json.dumps(dict(self.config), sort_keys=True))
        entries: dict[str, Any] = {}
        for i in range(self.count):
            entry = made[i]
            entries.setdefault(entry["question"], entry)
        name = {"dataset": self.dataset, "config": json.dumps(dict(self.config), sort_keys=True)}
        return [Question(text, str(e["answer"] or ""), {**name, "entry": e}) for text, e in entries.items()]


@dataclass(frozen=True)
class Scorer:
    """Passes the extracted answer to the scorer of the data set that made the question.

    Attributes:
        answer: how the answer is read; nothing to read, or a power that no scorer should evaluate
            (:func:`hone.envs.graders.math.has_huge_power`), is worth the floor, 0.
        timeout: seconds per call.
    """

    answer: Extraction
    timeout: float
    floor: float = 0.0

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """The scorer's values; an answer the scorer chokes on is :class:`Failed`, alone."""
        read = [self.answer.read(text) for text in completions]
        read = [None if text is not None and has_huge_power(text) else text for text in read]
        asked = [i for i, text in enumerate(read) if text is not None]
        scored = self._function.grade(
            [prompts[i] for i in asked],
            [read[i] or "" for i in asked],
            {name: [columns[name][i] for i in asked] for name in ("dataset", "config", "entry")},
        )
        outcomes: list[Outcome] = [Scored(self.floor)] * len(read)
        for i, outcome in zip(asked, scored, strict=True):
            outcomes[i] = replace(outcome, answer=read[i] or "") if isinstance(outcome, Scored) else outcome
        return outcomes

    @cached_property
    def _function(self) -> Function:
        return Function("hone.envs.tasks.reasoning_gym:score", timeout=self.timeout)


def score(
    completions: Sequence[str], dataset: Sequence[str], config: Sequence[str], entry: Sequence[Any], **_: Any
) -> list[float]:
    """The child's part: ``score_answer`` of each question's data set."""
    rows = zip(completions, dataset, config, entry, strict=True)
    return [_dataset(name, 1, 0, options).score_answer(text, e) for text, name, options, e in rows]


@lru_cache(maxsize=16)
def _dataset(name: str, size: int, seed: int, config: str) -> Any:
    """A data set of reasoning-gym.

    Raises:
        HoneError: it has no such data set, or not these options.
    """
    with warnings.catch_warnings():
        # What one of its dependencies says when Python compiles it for the first time.
        warnings.simplefilter("ignore", SyntaxWarning)
        import reasoning_gym
        from reasoning_gym.factory import DATASETS

    if name not in DATASETS:
        raise HoneError("reasoning-gym has no such data set", got=f'"{name}"', expected=nearest(name, DATASETS))
    try:
        return reasoning_gym.create_dataset(name, size=size, seed=seed, **json.loads(config))
    except (TypeError, ValueError, AssertionError) as error:
        raise HoneError("the data set's options are wrong", where=name, got=str(error)) from error
