"""The nouns of human feedback: what a person was shown, and what they said about it.

A prompt or an answer is text, or messages with a role and a content each, as everywhere in hone. Every noun
checks itself: one that means nothing (an empty answer, the same answer twice) cannot be made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from hone.core.errors import HoneError
from hone.core.records import Record

Text = str | Sequence[Mapping[str, Any]]
"""A text, or messages of a role and a content each."""


def plain_text(text: Text) -> str:
    """What a person reads: the text itself, or messages as ``role: content`` with blank lines between them."""
    if isinstance(text, str):
        return text
    return "\n\n".join(f"{m['role']}: {m['content']}" for m in text)


def answer_text(text: Text) -> str:
    """An answer as people compare it: the text itself, of a single message its content."""
    return text if isinstance(text, str) else str(text[0]["content"]) if len(text) == 1 else plain_text(text)


def same_text(first: Text, second: Text) -> bool:
    """Nobody can tell them apart: equal up to blanks at the ends."""
    return answer_text(first).strip() == answer_text(second).strip()


def author(model: str, checkpoint: str) -> str:
    """Model and checkpoint as one name."""
    return f"{model}@{checkpoint}" if checkpoint else model


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and where it comes from.

    Attributes:
        text: the answer; messages where it is more than one turn.
        model: name of the model (or the person) that wrote it; "" if unknown.
        checkpoint: which state of that model; "" if it has just one.
        also: model and checkpoint of others that wrote the very same: people judge it once, and it counts for all.

    Raises:
        HoneError: the answer is empty.
    """

    text: Text
    model: str = ""
    checkpoint: str = ""
    also: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _checked(self.text, "an answer"))
        if not answer_text(self.text).strip():
            raise HoneError("an answer is empty", got=repr(self.text)[:80], expected="some text")

    @property
    def author(self) -> str:
        """Model and checkpoint as one name: ``model@checkpoint``; the player of an arena."""
        return author(self.model, self.checkpoint)

    @property
    def authors(self) -> tuple[str, ...]:
        """The author and everyone else who wrote the same."""
        return (self.author, *(author(*names) for names in self.also))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One of two answers is better, or neither.

    Attributes:
        prompt: what was asked.
        chosen: the better answer; of a tie, the one shown first.
        rejected: the other.
        tie: neither is better.
        annotator: who said so.
        margin: by how much the chosen is better, where the data says (for the margin of a pairwise loss).

    Raises:
        HoneError: both answers read the same.
    """

    prompt: Text
    chosen: Answer
    rejected: Answer
    tie: bool = False
    annotator: str = ""
    margin: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", _checked(self.prompt, "a prompt"))
        _differ((self.chosen, self.rejected))
        if self.margin is not None and not math.isfinite(self.margin):
            raise HoneError("a margin is not a number", got=repr(self.margin))


@dataclass(frozen=True, slots=True)
class Ranking:
    """K answers in order.

    Attributes:
        prompt: what was asked.
        answers: at least two.
        ranks: one per answer, 1 is best; equal ranks are a tie.
        annotator: who said so.

    Raises:
        HoneError: fewer than two answers, two that read the same, or not one rank each.
    """

    prompt: Text
    answers: tuple[Answer, ...]
    ranks: tuple[int, ...]
    annotator: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", _checked(self.prompt, "a prompt"))
        if len(self.answers) < 2 or len(self.ranks) != len(self.answers) or min(self.ranks) < 1:
            got = f"{len(self.answers)} answers, ranks {list(self.ranks)}"
            raise HoneError("a ranking needs two answers or more and a rank from 1 for each", got=got)
        _differ(self.answers)

    def comparisons(self) -> list[Comparison]:
        """All K(K−1)/2 pairs."""
        pairs = []
        for i, j in combinations(range(len(self.answers)), 2):
            first, second = (i, j) if self.ranks[i] <= self.ranks[j] else (j, i)
            tie = self.ranks[i] == self.ranks[j]
            pairs.append(Comparison(self.prompt, self.answers[first], self.answers[second], tie, self.annotator))
        return pairs


@dataclass(frozen=True, slots=True)
class Rating:
    """A thumb or a score for one answer.

    Attributes:
        prompt: what was asked.
        answer: what is judged.
        thumb: up or down.
        score: any number; higher is better.
        annotator: who said so.

    Raises:
        HoneError: neither a thumb nor a score, both, or a score that is not finite.
    """

    prompt: Text
    answer: Answer
    thumb: bool | None = None
    score: float | None = None
    annotator: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", _checked(self.prompt, "a prompt"))
        if (self.thumb is None) == (self.score is None):
            raise HoneError("a rating is a thumb or a score", got=f"thumb={self.thumb}, score={self.score}")
        if self.score is not None and not math.isfinite(self.score):
            raise HoneError("a score is not a number", got=repr(self.score))

    @property
    def value(self) -> float:
        """The score; of a thumb 1 (up) or 0 (down)."""
        return float(self.thumb) if self.score is None else self.score  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An answer that a person wrote, or corrected.

    Attributes:
        prompt: what was asked.
        answer: what the person wrote.
        corrected: the answer it started from, if it is a correction.
        annotator: who wrote it.

    Raises:
        HoneError: the correction changes nothing.
    """

    prompt: Text
    answer: Answer
    corrected: Answer | None = None
    annotator: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", _checked(self.prompt, "a prompt"))
        if self.corrected is not None:
            _differ((self.answer, self.corrected))

    def record(self) -> Record:
        """The row to fine-tune on: prompt and completion, both messages if the prompt is."""
        if isinstance(self.prompt, str) and isinstance(self.answer.text, str):
            return {"prompt": self.prompt, "completion": self.answer.text}
        return {"prompt": messages(self.prompt, "user"), "completion": messages(self.answer.text, "assistant")}


@dataclass(frozen=True, slots=True)
class Skip:
    """A question that a person would rather not answer: kept, so that it is not asked again.

    Attributes:
        prompt: what was asked.
        answers: what was shown.
        annotator: who skipped it.
    """

    prompt: Text
    answers: tuple[Answer, ...]
    annotator: str = ""


Label = Comparison | Ranking | Rating | Demonstration | Skip
"""Anything a person can say."""


def comparisons_of(labels: Iterable[Label]) -> list[Comparison]:
    """The comparisons among labels, and rankings as all their pairs."""
    found: list[Comparison] = []
    for label in labels:
        if isinstance(label, Comparison):
            found.append(label)
        elif isinstance(label, Ranking):
            found += label.comparisons()
    return found


def messages(text: Text, role: str) -> list[dict[str, Any]]:
    """Text as one message of ``role``; messages as they are."""
    return [{"role": role, "content": text}] if isinstance(text, str) else [dict(m) for m in text]


def canonical(text: Text) -> str:
    """One string per text or messages, to group and compare by: equal iff they hold the same."""
    return text if isinstance(text, str) else json.dumps([dict(m) for m in text], sort_keys=True, ensure_ascii=False)


def _checked(text: Text, what: str) -> Text:
    """Text as it is, messages as a tuple (so that equal labels are equal)."""
    if isinstance(text, str):
        return text
    if isinstance(text, Sequence) and text and all(map(_is_message, text)):
        return (*text,)
    raise HoneError(
        f"{what} is neither text nor messages",
        got=repr(text)[:80],
        expected='text, or [{"role": ..., "content": ...}, ...]',
    )


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("role"), str) and "content" in value


def _differ(answers: Sequence[Answer]) -> None:
    for first, second in combinations(answers, 2):
        if same_text(first.text, second.text):
            raise HoneError(
                "the same answer stands twice in a comparison",
                got=repr(answer_text(first.text))[:80],
                expected="answers that differ",
            )
