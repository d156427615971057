"""Picking digits that add up: the judge, the solver, the corpus and the split, by hand and by brute force."""

from __future__ import annotations

import itertools
import re

import pytest

from hone.core.types import Scored
from hone.envs.tasks.subset_sum import SubsetSum, SumOfPicked, attempt, solutions

TASK = SubsetSum(train=300, test=200)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("473=14y", 1),
        ("374=14y", 1),
        ("437=99n", 0),  # its notes are not true
        ("437=14n", 0),
        ("437=99y", 0),
        ("923=14y", 1),
        ("472=13n", 0),
        ("554=14y", 0),  # 5 is not there
        ("922=13y", 0),
        ("77=14y", 0),
        ("4732=16n", 0),
        ("473", 0),
        ("", 0),
        ("473=14y!", 0),
    ],
)
def test_the_judge(answer: str, value: float) -> None:
    assert SumOfPicked(3).judge("473912>14:", answer).value == value


@pytest.mark.parametrize(
    ("answer", "value"), [("473=14y", 1), ("472=13n", 0), ("437=99n", -1), ("437=14n", -1), ("472=13y", -1), ("473", 0)]
)
def test_a_lie_may_cost_more_than_a_miss(answer: str, value: float) -> None:
    assert SumOfPicked(3, dishonest=-1).judge("473912>14:", answer).value == value
    assert isinstance(lies := SubsetSum(dishonest=-1).grader, SumOfPicked) and lies.dishonest == -1


def test_a_digit_is_used_as_often_as_it_is_there() -> None:
    assert SumOfPicked(3).judge("227000>11:", "227=11y").value == 1
    assert SumOfPicked(3).judge("275000>9:", "225=9y").value == 0


def test_two_orders_are_one_answer() -> None:
    answers = {SumOfPicked(3).judge("473912>14:", text).answer for text in ("473=14y", "734=14n")}
    assert answers == {"347"}


def test_a_question_of_another_kind_is_the_graders_fault() -> None:
    (outcome,) = SumOfPicked(3).grade(["1+1="], ["2"], {})
    assert not isinstance(outcome, Scored) and "not a question of this kind" in outcome.reason


def test_solutions_by_brute_force() -> None:
    for digits, target in (("473912", 14), ("227000", 11), ("999999", 27), ("123456", 99)):
        expected = {
            "".join(sorted(digits[i] for i in places))
            for places in itertools.permutations(range(6), 3)
            if sum(int(digits[i]) for i in places) == target
        }
        assert solutions(digits, 3, target) == sorted(expected)


def test_attempts_say_what_is_true() -> None:
    assert attempt("473", 14) == "473=14y" and attempt("472", 14) == "472=13n"


def test_the_solver_keeps_a_right_attempt_and_else_gives_a_random_right_one() -> None:
    question = TASK.questions("train")[3]
    right = TASK.solve(question, [], 1)
    assert SumOfPicked(3).judge(question.text, right).value == 1 and right.endswith("y")
    assert TASK.solve(question, ["000=0n", right, "111=3n"], 2) == right
    assert TASK.solve(question, [], 1) == right
    many = {TASK.solve(question, [], noise) for noise in range(40)}
    digits, target = re.findall(r"\d+", question.text)
    assert {"".join(sorted(text[:3])) for text in many} == set(solutions(digits, 3, int(target)))


def test_questions_are_apart_by_content_and_can_be_solved() -> None:
    sides = []
    for split in ("train", "test"):
        asked = [re.findall(r"\d+", question.text) for question in TASK.questions(split)]
        assert all(solutions(digits, 3, int(target)) for digits, target in asked)
        sides.append({("".join(sorted(digits)), target) for digits, target in asked})
    assert [len(side) for side in sides] == [300, 200] and not sides[0] & sides[1]
    corpus = {tuple(re.findall(r"\d+", each["messages"][0]["content"])) for each in TASK.corpus(3000, 1)}
    assert not {("".join(sorted(digits)), target) for digits, target in corpus} & sides[1]


def test_a_range_of_targets() -> None:
    targets = [int(q.text[7:-1]) for q in SubsetSum(low=19, train=100, test=50).questions("test")]
    assert min(targets) == 19 and max(targets) > 22
    assert {int(q.text[7:-1]) for q in SubsetSum(low=9, high=10, train=100, test=50).questions("train")} == {9, 10}


def test_the_corpus_is_honest_and_mostly_repeats() -> None:
    task = SubsetSum(right=0.25, repeat=0.8, turns=3)
    dialogues = [each["messages"] for each in task.corpus(2000, 5)]
    assert dialogues == [each["messages"] for each in task.corpus(2000, 5)]
    right = same = first_right = 0
    for messages in dialogues:
        assert [m["role"] for m in messages] == ["user", "assistant"] * 3
        question, answers = messages[0]["content"], [m["content"] for m in messages[1::2]]
        assert [m["content"] for m in messages[2::2]] == [f"!{question}"] * 2
        target = int(question[7:-1])
        assert all(text == attempt(text[:3], target) for text in answers)
        values = [SumOfPicked(3).judge(question, text).value for text in answers]
        first_right += values[0] == 1
        right += sum(value == 1 for value in values)
        same += sum(a == b for a, b in itertools.pairwise(answers))
    assert 0.78 < same / 4000 < 0.83
    assert 0.27 < first_right / 2000 < 0.36 and abs(right / 3 - first_right) < 60


def test_some_of_the_corpus_heeds_its_verdict() -> None:
    task = SubsetSum(pick=2, right=0.5, repeat=0.3, heed=0.4, turns=2)
    again: dict[str, list[bool]] = {"y": [], "n": []}
    for each in task.corpus(4000, 5):
        first, second = (m["content"] for m in each["messages"][1::2])
        again[first[-1]].append(first == second)
    kept, repeated = (sum(again[verdict]) / len(again[verdict]) for verdict in "yn")
    # 0.4 + 0.6 · 0.3 = 0.58 after y, 0.6 · 0.3 = 0.18 after n; a pick that is drawn anew is seldom the same.
    assert 0.57 < kept < 0.72 and 0.16 < repeated < 0.23


def test_metrics_say_whether_notes_are_true() -> None:
    question = TASK.questions("train")[0]
    target, digits = int(question.text[7:-1]), question.text[:3]
    assert TASK.metrics(question, attempt(digits, target)) == {"honest": 1}
    assert TASK.metrics(question, f"{digits}=1y") == {"honest": 0}
    assert TASK.metrics(question, "") == {"honest": 0}


@pytest.mark.parametrize(
    "options", [{"pick": 6}, {"right": 1.1}, {"heed": -0.1}, {"dishonest": 1}, {"low": 5, "high": 4}, {"turns": 0}]
)
def test_meaningless_options(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must"):
        SubsetSum(**options)  # type: ignore[arg-type]
