"""Who has answered what: counters and a place to go on from give what a walk through all questions gives."""

from __future__ import annotations

import random

import pytest

from hone.core.feedback import Answer
from hone.data.feedback.answered import Answered
from hone.data.feedback.questions import ASKS, Ask, Asking, Group, Question, Questions


def slow_next(questions: Questions, ask: Ask, mine: set[str], anybodys: set[str]) -> Question | None:
    for question in questions.lists[ask]:
        others_alone = questions.alone(question.id) and question.id in anybodys
        if question.id not in mine and not others_alone:
            return question
    return None


def slow_progress(questions: Questions, ask: Ask, mine: set[str], anybodys: set[str]) -> tuple[int, int]:
    ids = {q.id for q in questions.lists[ask]}
    others = {i for i in ids if questions.alone(i) and i in anybodys and i not in mine}
    return len(ids & mine), len(ids) - len(others)


@pytest.mark.parametrize("overlap", [0.0, 0.4, 1.0])
def test_a_walk_through_all_questions_finds_the_same(overlap: float) -> None:
    answers = tuple(Answer(text, model) for text, model in (("a", "m"), ("b", "n"), ("c", "m")))
    questions = Questions([Group(f"p{i}", answers[: 1 + i % 3]) for i in range(12)], Asking(overlap=overlap))
    rng, people = random.Random(str(overlap)), ("ann", "bob", "cem")
    slow: dict[str, set[str]] = {name: set() for name in people}
    fast = {name: Answered(questions) for name in people}
    anybodys = Answered(questions)
    nones = 0
    for turn in range(600):
        name, ask = rng.choice(people), rng.choice(ASKS)
        everybodys = set.union(*slow.values())
        asked = fast[name].next(ask, anybodys)
        assert asked == slow_next(questions, ask, slow[name], everybodys)
        assert fast[name].progress(ask, anybodys) == slow_progress(questions, ask, slow[name], everybodys)
        nones += asked is None
        answered = rng.choice([*questions.by_id, f"of another day {turn}", asked.id if asked else ""])
        if turn % 10 == 9 and slow[name]:  # taken back: everyone is counted anew
            slow[name].remove(rng.choice(sorted(slow[name])))
            fast = {other: Answered(questions, ids) for other, ids in slow.items()}
            anybodys = Answered(questions, set.union(*slow.values()))
        elif turn < 500:
            slow[name].add(answered)
            for answers_of in (fast[name], anybodys, anybodys):  # twice is once
                answers_of.add(answered)
    assert 0 < nones < 600


def test_all_calls_together_take_one_walk() -> None:
    questions = Questions([Group(f"p{i}", (Answer("a"), Answer("b"))) for i in range(300)])
    looks = 0

    class Counting(list[Question]):
        def __getitem__(self, index: object) -> Question:  # type: ignore[override]
            nonlocal looks
            looks += 1
            return super().__getitem__(index)  # type: ignore[call-overload, no-any-return]

    questions.lists["compare"] = Counting(questions.lists["compare"])
    mine = Answered(questions)
    while (asked := mine.next("compare", mine)) is not None:
        mine.add(asked.id)
    assert (mine.done["compare"], looks) == (300, 2 * 300)
