"""The nouns of human feedback say what they hold and refuse what means nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Demonstration, Ranking, Rating, answer_text, canonical, plain_text

A, B, C = Answer("a", "m", "step-10"), Answer("b", "m"), Answer("c")
USER = ({"role": "user", "content": "hi"},)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Answer(" \n"), "empty"),
        (lambda: Answer(()), "neither text nor messages"),
        (lambda: Answer([{"role": "assistant"}]), "neither text nor messages"),
        (lambda: Answer([{"role": "assistant", "content": ""}]), "empty"),
        (lambda: Comparison("p", A, Answer(" a ")), "same answer"),
        (lambda: Comparison("p", A, Answer([{"role": "assistant", "content": "a"}])), "same answer"),
        (lambda: Comparison(None, A, B), "neither text nor messages"),  # type: ignore[arg-type]
        (lambda: Comparison("p", A, B, margin=float("nan")), "margin"),
        (lambda: Ranking("p", (A,), (1,)), "two answers"),
        (lambda: Ranking("p", (A, B), (1,)), "rank"),
        (lambda: Ranking("p", (A, B), (0, 1)), "rank"),
        (lambda: Ranking("p", (A, B, A), (1, 2, 3)), "same answer"),
        (lambda: Rating("p", A), "thumb or a score"),
        (lambda: Rating("p", A, thumb=True, score=1.0), "thumb or a score"),
        (lambda: Rating("p", A, score=float("inf")), "not a number"),
        (lambda: Demonstration("p", Answer("a"), corrected=A), "same answer"),
    ],
)
def test_what_means_nothing_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(HoneError, match=said):
        make()


def test_a_ranking_is_all_its_pairs() -> None:
    pairs = Ranking("p", (A, B, C), (2, 1, 2), "ann").comparisons()
    assert pairs == [
        Comparison("p", B, A, annotator="ann"),
        Comparison("p", A, C, tie=True, annotator="ann"),
        Comparison("p", B, C, annotator="ann"),
    ]


def test_a_demonstration_is_a_row_to_fine_tune_on() -> None:
    assert Demonstration("p", A).record() == {"prompt": "p", "completion": "a"}
    assert Demonstration(USER, A).record() == {
        "prompt": [{"role": "user", "content": "hi"}],
        "completion": [{"role": "assistant", "content": "a"}],
    }


def test_values_authors_and_texts() -> None:
    assert (A.author, B.author, C.author) == ("m@step-10", "m", "")
    assert [Rating("p", A, thumb=True).value, Rating("p", A, thumb=False).value, Rating("p", A, score=0.5).value] == [
        1.0,
        0.0,
        0.5,
    ]
    assert plain_text([*USER, {"role": "assistant", "content": "yo"}]) == "user: hi\n\nassistant: yo"
    assert answer_text(USER) == "hi"
    assert canonical([{"content": "é", "role": "user"}]) == '[{"content": "é", "role": "user"}]'
