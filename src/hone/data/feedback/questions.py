"""What people are asked: groups of answers to a prompt become questions, in an order that everyone shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Literal

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Text, canonical, same_text
from hone.core.seeding import generator, key
from hone.data.feedback.entries import digest

Ask = Literal["compare", "rank", "thumb", "write"]
ASKS: tuple[Ask, ...] = ("compare", "rank", "thumb", "write")
MOST_RANKED = 6
"""Answers of one ranking; people lose track of more."""


@dataclass(frozen=True)
class Group:
    """A prompt and the answers to it that can be told apart."""

    prompt: Text
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Question:
    """One thing to ask.

    Attributes:
        id: a digest of what it asks, the same after a restart.
        ask: how.
        prompt: what the models were asked.
        answers: two to compare, several to rank, one for a thumb, none to write.
    """

    id: str
    ask: Ask
    prompt: Text
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Asking:
    """How questions are made of groups.

    Attributes:
        pairs: comparisons asked of one prompt at most; pairs of different models come first.
        overlap: share of the questions that every annotator is asked (agreement is measured on them); each of the
            others is asked of one annotator alone.
        seed: of the order of questions and of who stands left.
    """

    pairs: int = 3
    overlap: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pairs < 1 or not 0 <= self.overlap <= 1:
            got = f"pairs {self.pairs}, overlap {self.overlap}"
            raise HoneError("questions cannot be made so", got=got, expected="pairs ≥ 1 and 0 ≤ overlap ≤ 1")


class Questions:
    """Every question of a server, in an order keyed by the seed.

    Args:
        groups: prompts with answers; answers that read the same are one, by all who wrote them.
        asking: how questions are made of them.
    """

    def __init__(self, groups: Iterable[Group], asking: Asking | None = None) -> None:
        self.asking = asking or Asking()
        made: dict[str, Question] = {}
        for group in merge(groups):
            for question in self._of(group):
                made.setdefault(question.id, question)
        self.by_id = made
        self.lists: dict[Ask, list[Question]] = {ask: [] for ask in ASKS}
        self._alone = frozenset(
            name for name in made if key(self.asking.seed, "shared", name) >= self.asking.overlap * 2**64
        )
        for question in sorted(made.values(), key=lambda q: key(self.asking.seed, "question", q.id)):
            self.lists[question.ask].append(question)

    def alone(self, name: str) -> bool:
        """Whether the question with this id is asked of one annotator alone."""
        return name in self._alone

    def order(self, question: Question, annotator: str) -> tuple[int, ...]:
        """Which answer stands where: keyed, so that a reload shows the same and people see different sides."""
        order = generator(self.asking.seed, "order", question.id, annotator).permutation(len(question.answers))
        return tuple(int(i) for i in order)

    def _of(self, group: Group) -> list[Question]:
        found = [_question("write", group.prompt, ())]
        found += [_question("thumb", group.prompt, (answer,)) for answer in group.answers]
        pairs = [_question("compare", group.prompt, pair) for pair in combinations(group.answers, 2)]
        pairs.sort(key=lambda q: (_of_one(q.answers), key(self.asking.seed, "pair", q.id)))
        found += pairs[: self.asking.pairs]
        if len(group.answers) > 2:
            found += [_question("rank", group.prompt, answers) for answers in ranked(group.answers)]
        return found


def merge(groups: Iterable[Group]) -> list[Group]:
    """One group per prompt, each of its answers once: the first of those that read the same, which knows the others."""
    found: dict[str, tuple[Text, list[Answer]]] = {}
    for group in groups:
        _, answers = found.setdefault(canonical(group.prompt), (group.prompt, []))
        for answer in group.answers:
            same = next((i for i, other in enumerate(answers) if same_text(answer.text, other.text)), None)
            if same is None:
                answers.append(answer)
            else:
                answers[same] = _joined(answers[same], answer)
    return [Group(prompt, tuple(answers)) for prompt, answers in found.values()]


def ranked(answers: Sequence[Answer]) -> Iterator[tuple[Answer, ...]]:
    """The answers to a prompt in rankings of at most :data:`MOST_RANKED`, of about equal size, each sharing one answer
    with the one before: so every answer is ranked, and all of them are compared, if only by way of others.

    Where there are several rankings, authors take turns, so that each holds answers of as many as there are.
    """
    if len(answers) > MOST_RANKED:
        turns: Counter[str] = Counter()
        turn_of = []
        for answer in answers:
            turn_of.append(turns[answer.author])
            turns[answer.author] += 1
        answers = [answers[i] for i in sorted(range(len(answers)), key=turn_of.__getitem__)]
    count = -(-(len(answers) - 1) // (MOST_RANKED - 1))
    ends = [round(i * (len(answers) - 1) / count) for i in range(count + 1)]
    for first, last in pairwise(ends):
        yield tuple(answers[first : last + 1])


def _joined(answer: Answer, other: Answer) -> Answer:
    """An answer that the other's authors wrote as well."""
    known = [(answer.model, answer.checkpoint), *answer.also]
    more = [names for names in ((other.model, other.checkpoint), *other.also) if names[0] and names not in known]
    return replace(answer, also=(*answer.also, *more))


def _of_one(answers: Sequence[Answer]) -> bool:
    """A pair says nothing of who is better: both are by the same authors."""
    return set(answers[0].authors) == set(answers[1].authors)


def _question(ask: Ask, prompt: Text, answers: Sequence[Answer]) -> Question:
    said = [[a.text, a.model, a.checkpoint] for a in answers]
    return Question(digest(ask, prompt, said), ask, prompt, tuple(answers))
