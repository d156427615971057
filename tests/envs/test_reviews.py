"""The reviews' judge by hand, its noise by counting, and prompts that stay on one side."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hone.core.types import Scored
from hone.envs.review_judge import EMPTY, NoisyJudge, crowd, gold, prompts, write
from hone.envs.tasks.reviews import Reviews

ASKED = "soup with bread, price?"


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        ("price fresh.", 0.8),
        ("price very fresh, taste plain.", (2 * 1.6 * 0.8 - 0.8) / 3),
        ("taste superb, room rather awful.", (2.0 - 1.0) / 2 - 1),  # says nothing of the price
        ("price fresh, price superb.", (2 * 0.8 - 2 * 1.0) / 4),  # comes back to the price
        ("price fresh, what a soup!", (2 * 0.8 - 2.0) / 3),
        ("gibberish", -2.0 - 1.0),
        (" price fresh ", 0.8),
    ],
)
def test_gold_by_hand(answer: str, points: float) -> None:
    assert gold(ASKED, answer) == pytest.approx(1.5 * points)


def test_an_empty_answer_and_strangers() -> None:
    assert gold(ASKED, " .") == gold(ASKED, "") == EMPTY
    assert crowd(ASKED, "taste superb, room rather awful.") == pytest.approx(1.5 * (2.0 - 1.0) / 2)


def test_the_judges_choices_and_rankings_are_bradley_terry() -> None:
    person = NoisyJudge()
    answers = ["price fresh.", "price plain, room lovely.", "taste awful."]
    values = [gold(ASKED, a) for a in answers]
    ranks = np.array([person.ranks(ASKED, answers, turn) for turn in range(3000)])
    assert (np.sort(ranks, axis=1) == [1, 2, 3]).all()
    for i, j in ((0, 1), (0, 2), (1, 2)):
        expected = 1 / (1 + math.exp(values[j] - values[i]))
        assert person.chance(ASKED, answers[i], answers[j]) == pytest.approx(expected)
        slack = 4 * math.sqrt(expected * (1 - expected) / 3000)
        assert float((ranks[:, i] < ranks[:, j]).mean()) == pytest.approx(expected, abs=slack)
        chosen = [person.prefers_first(ASKED, answers[i], answers[j], turn) for turn in range(3000)]
        assert np.mean(chosen) == pytest.approx(expected, abs=slack)
    p = [person.chance(ASKED, answers[0], a) for a in answers[1:]]
    pairs = [(ASKED, answers[0], a) for a in answers[1:]]
    assert person.ceiling(pairs) == pytest.approx(np.mean([max(x, 1 - x) for x in p]))


def test_a_verdict_does_not_depend_on_the_order_of_the_answers() -> None:
    person, answers = NoisyJudge(), ["price fresh.", "price plain, room lovely.", "taste awful."]
    first, second = answers[:2]
    for turn in range(50):
        assert person.prefers_first(ASKED, first, second, turn) != person.prefers_first(ASKED, second, first, turn)
        assert person.ranks(ASKED, answers, turn) == person.ranks(ASKED, answers[::-1], turn)[::-1]


def test_prompts_stay_on_one_side_and_everything_is_a_function_of_its_seed() -> None:
    task = Reviews(train=100, test=50)
    asked = {q.text for q in task.questions("train")}, {q.text for q in task.questions("test")}
    assert (len(asked[0]), len(asked[1])) == (100, 50)
    train, test = set(task.side("train")), set(task.side("test"))
    assert train | test == set(prompts())
    assert not train & test
    assert {p for p, _ in task.corpus(300, 1)} <= train
    assert {r["prompt"] for r in task.comparisons(50, 1, "test")} <= test
    assert task.rankings(5, 2) == task.rankings(5, 2) != task.rankings(5, 3)
    assert task.scored(5, 2)[:8] == task.scored(2, 2)  # fewer are the first ones
    row = task.comparisons(20, 1)[0]
    assert set(row) == {"prompt", "chosen", "rejected"}
    assert row["chosen"] != row["rejected"]


def test_the_judge_is_the_reward_unless_another_is_named() -> None:
    task = Reviews(train=5, test=5)
    task.preflight()
    question = task.questions("train")[0]
    (outcome,) = task.grader.grade([question.text], ["price fresh."], {})
    assert outcome == Scored(gold(question.text, "price fresh."))
    assert task.metrics(question, "price fresh.") == {"gold": gold(question.text, "price fresh.")}
    with pytest.raises(ValueError, match="at least 1"):
        Reviews(train=0)


def test_skill_shows() -> None:
    rng = np.random.default_rng(0)
    mean = [np.mean([gold(ASKED, write(rng, skill)) for _ in range(400)]) for skill in (-1.0, 0.0, 1.0)]
    assert mean[0] < mean[1] - 0.5 < mean[2] - 1.0
