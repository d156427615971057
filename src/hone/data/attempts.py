"""Logged attempts → rows to learn from (RISE, arXiv:2407.18219; STaR, arXiv:2203.14465): pure functions.

A dialogue is what a policy did on its own with one question, turn after turn, and beside each turn the improved answer
that somebody gave in the policy's place, if anybody did. A row is a context the policy was in and one answer there,
the only tokens that are learnt; it keeps where it came from.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hone.data.rows import Example, Row

Criterion = Literal["all", "better", "best", "success"]
"""Which answers are kept, see :func:`keeps`."""

_MOST_REPEATS, _LONGEST_WORD = 150, 300


@dataclass(frozen=True, slots=True)
class Attempt:
    """An answer.

    Attributes:
        text: as text.
        tokens: its ids with the end token, as they are to be learnt: sampled, or encoded if others wrote it.
        reward: what it is worth; None where its grader failed.
        source: who wrote it: "policy", or what improved on it.
    """

    text: str
    tokens: tuple[int, ...]
    reward: float | None
    source: str = "policy"


@dataclass(frozen=True, slots=True)
class Visit:
    """A turn.

    Attributes:
        context: the ids the policy was given.
        own: what it answered.
        improved: a better answer in its place.
    """

    context: tuple[int, ...]
    own: Attempt
    improved: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What happened with a question once.

    Attributes:
        episode: which question.
        iteration: in which round.
        visits: its turns.
    """

    episode: int
    iteration: int
    visits: tuple[Visit, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Dialogue:
        """From :meth:`plain`, also by way of JSON."""
        return cls(values["episode"], values["iteration"], tuple(_visit(visit) for visit in values["visits"]))


@dataclass(frozen=True, slots=True)
class Learnt:
    """A row and where it came from.

    Attributes:
        context: ids before the answer.
        answer: ids that are learnt.
        reward: what the answer is worth.
        turn: of its dialogue, from 1.
        source: who wrote the answer.
        iteration: in which round it was collected.
        episode: which question.
    """

    context: tuple[int, ...]
    answer: tuple[int, ...]
    reward: float
    turn: int
    source: str
    iteration: int
    episode: int


@dataclass(frozen=True)
class Conversion:
    """Which of the logged answers are learnt.

    Attributes:
        criterion: "all"; "better": worth more than the attempt before; "best": worth no less than any attempt before;
            "success": correct. A first answer is kept by all but the last.
        improved: the improved answers of every turn, or of the last alone ("last"; the released converter's, whose
            dialogue ends with the one improved answer).
        own: learn the policy's own attempts too; where ``improved`` is "last", those of the turns before it.
        only_success: leave out dialogues without a correct answer.
        after_correct: what becomes of turns after a correct attempt: left out ("drop", the released converter's), or
            kept, so that keeping a correct answer is learnt.
        after_worse: what becomes of a turn that was worth less than the one before, and of all that follow.
        duplicates: keep answers that repeat an earlier attempt of the dialogue or another row word for word. A correct
            attempt that is repeated is no duplicate where ``after_correct`` is "keep".
        degenerate: keep answers with a word that occurs more than 150 times or has more than 300 characters.
        success: an answer of this reward is correct.
    """

    criterion: Criterion = "better"
    improved: Literal["every", "last"] = "every"
    own: bool = False
    only_success: bool = False
    after_correct: Literal["drop", "keep"] = "drop"
    after_worse: Literal["drop", "keep"] = "keep"
    duplicates: bool = False
    degenerate: bool = False
    success: float = 1.0

    def __post_init__(self) -> None:
        if self.criterion == "better" and self.after_correct == "keep":
            raise ValueError(
                'after_correct = "keep" has no effect with criterion "better": nothing beats a correct one'
            )


def keeps(criterion: Criterion, earlier: Sequence[float], reward: float, success: float = 1.0) -> bool:
    """Whether an answer is kept, by its reward and those of the attempts before it.

    ``all``: always; ``better``: r_i > r_{i−1}; ``best``: no earlier r_j > r_i (ties are kept); ``success``: r_i is
    the success reward. A first answer is kept by all of them but ``success``.
    """
    if criterion == "success":
        return _correct(reward, success)
    if criterion == "all" or not earlier:
        return True
    return reward > earlier[-1] if criterion == "better" else reward >= max(earlier)


def convert(dialogues: Iterable[Dialogue], rule: Conversion) -> list[Learnt]:
    """The rows of dialogues, in their order; an answer whose grader failed is in none."""
    found: list[Learnt] = []
    known: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    for dialogue in dialogues:
        for row in _rows(dialogue, rule):
            content = (row.context, row.answer)
            if rule.duplicates or content not in known:
                known.add(content)
                found.append(row)
    return found


def examples(dialogues: Sequence[Dialogue], rule: Conversion) -> tuple[list[Example], list[Learnt]]:
    """The rows of each question as one example, and the rows alone.

    An example holds the rows that are learnt and a stub without a token to learn for every other graded answer to the
    question in that round, so that a baseline per prompt is the mean over all of them. Questions without a row are
    left out.
    """
    rows = convert(dialogues, rule)
    learnt: dict[tuple[int, int], list[Learnt]] = {}
    for row in rows:
        learnt.setdefault((row.iteration, row.episode), []).append(row)
    rewards: dict[tuple[int, int], Counter[float]] = {}
    for dialogue in dialogues:
        graded = [answer.reward for visit in _entries(dialogue, rule) for answer in visit if answer.reward is not None]
        rewards.setdefault((dialogue.iteration, dialogue.episode), Counter()).update(graded)
    return [_example(own, rewards[at]) for at, own in learnt.items()], rows


def is_degenerate(text: str) -> bool:
    """A word occurs more than 150 times, or has more than 300 characters (the released collector's filter)."""
    counts = Counter(text.split())
    return any(count > _MOST_REPEATS or len(word) > _LONGEST_WORD for word, count in counts.items())


def _rows(dialogue: Dialogue, rule: Conversion) -> Iterable[Learnt]:
    entries = _entries(dialogue, rule)
    if rule.only_success and not any(_correct(answer.reward, rule.success) for turn in entries for answer in turn):
        return
    earlier: list[Attempt] = []
    for turn, (visit, answers) in enumerate(zip(dialogue.visits, entries, strict=True), start=1):
        for answer in answers:
            if not rule.own and answer is not visit.improved:
                continue
            if (reward := _learnable(answer, earlier, rule)) is not None:
                at = (turn, answer.source, dialogue.iteration, dialogue.episode)
                yield Learnt(visit.context, answer.tokens, reward, *at)
        earlier.append(visit.own)
        if _ends(earlier, rule):
            return


def _entries(dialogue: Dialogue, rule: Conversion) -> list[list[Attempt]]:
    """The answers of every turn that count: the policy's own and the improved one, or of the last turn that alone."""
    last = len(dialogue.visits) - 1
    found = []
    for number, visit in enumerate(dialogue.visits):
        if visit.improved is None or (rule.improved == "last" and number < last):
            found.append([visit.own])
        else:
            found.append([visit.improved] if rule.improved == "last" else [visit.own, visit.improved])
    return found


def _ends(earlier: Sequence[Attempt], rule: Conversion) -> bool:
    """Whether nothing is to be learnt after these attempts of the policy."""
    reward, before = earlier[-1].reward, earlier[-2].reward if len(earlier) > 1 else None
    if reward is None or (rule.after_correct == "drop" and _correct(reward, rule.success)):
        return True
    return rule.after_worse == "drop" and before is not None and reward < before


def _learnable(answer: Attempt, earlier: Sequence[Attempt], rule: Conversion) -> float | None:
    """The reward of an answer that is to be learnt after these attempts of the policy, None for others."""
    reward, text = answer.reward, answer.text.strip()
    before = [attempt.reward for attempt in earlier if attempt.reward is not None]
    if reward is None or not text or (is_degenerate(text) and not rule.degenerate):
        return None
    if before and rule.after_worse == "drop" and reward < before[-1]:
        return None
    told = any(attempt.text.strip() == text for attempt in earlier)
    held = rule.after_correct == "keep" and _correct(reward, rule.success)
    if told and not held and not rule.duplicates:
        return None
    return reward if keeps(rule.criterion, before, reward, rule.success) else None


def _correct(reward: float | None, success: float) -> bool:
    return reward is not None and reward >= success - 1e-9


def _example(rows: Sequence[Learnt], rewards: Counter[float]) -> Example:
    learnt = [
        Row((*r.context, *r.answer), (*[False] * len(r.context), *[True] * len(r.answer)), r.reward) for r in rows
    ]
    rest = rewards - Counter(row.reward for row in rows)
    stubs = [Row(learnt[0].tokens[:1], (False,), reward) for reward in rest.elements()]
    return (*learnt, *stubs)


def _visit(values: Mapping[str, Any]) -> Visit:
    improved = values["improved"]
    return Visit(tuple(values["context"]), _attempt(values["own"]), _attempt(improved) if improved else None)


def _attempt(values: Mapping[str, Any]) -> Attempt:
    return Attempt(values["text"], tuple(values["tokens"]), values["reward"], values["source"])
