"""What people said → examples: worths, groups, margins, and prompts that stay on one side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Label, Ranking, Rating, Text
from hone.data.feedback.layouts import row_labels
from hone.data.preferences import (
    encode_labels,
    fitting,
    prompt_content,
    score_comparisons,
    scores_of,
    select,
    split_labels,
    standardise,
)


class Letters:
    """One id per character and 0 for the end."""

    def encode(self, prompt: Text, answer: Text) -> list[int]:
        return [ord(c) for c in f"{prompt}{answer}"] + [0]


def compare(prompt: str, chosen: str, rejected: str, **more: Any) -> Comparison:
    return Comparison(prompt, Answer(chosen), Answer(rejected), **more)


def rate(prompt: str, answer: str, score: float) -> Rating:
    return Rating(prompt, Answer(answer), score=score)


def worths(labels: Sequence[Any]) -> list[list[float]]:
    return [[row.reward for row in example] for example in encode_labels(Letters(), labels, 99)[0]]


def test_worths_of_every_kind() -> None:
    ranking = Ranking("p", (Answer("a"), Answer("b"), Answer("c")), (2, 1, 2))
    assert worths([compare("p", "a", "b"), compare("p", "a", "b", tie=True), ranking]) == [
        [1.0, 0.0],
        [0.0, 0.0],
        [-2.0, -1.0, -2.0],
    ]
    assert worths([compare("p", "a", "b", margin=2.5), compare("p", "a", "b", margin=0.0)]) == [[2.5, 0.0], [1e-6, 0.0]]
    assert worths([rate("p", "a", 3.0), rate("q", "b", 1.0), rate("p", "c", 2.0)]) == [[3.0, 2.0], [1.0]]


def test_only_the_last_token_is_learnt_from() -> None:
    ((first, second),), left_out = encode_labels(Letters(), [compare("p", "ab", "c")], 99)
    assert first.tokens == (ord("p"), ord("a"), ord("b"), 0)
    assert first.train == (False, False, False, True)
    assert second.train == (False, False, True)
    assert left_out == 0


def test_an_example_with_one_long_answer_is_left_out_whole() -> None:
    examples, left_out = encode_labels(Letters(), [compare("p", "abcdef", "c"), compare("p", "a", "c")], 4)
    assert [len(example) for example in examples] == [2]
    assert left_out == 1


def test_scored_text_makes_pairs_with_a_filter() -> None:
    ratings = [rate("p", "a", 3.0), rate("p", "b", 1.0), rate("p", "c", 2.5), rate("q", "d", 9.0), rate("p", "e", 3.0)]
    found = score_comparisons(ratings, min_gap=1.0)
    assert {(c.chosen.text, c.rejected.text, c.margin) for c in found} == {
        ("a", "b", 2.0),
        ("c", "b", 1.5),
        ("e", "b", 2.0),
    }
    assert len(score_comparisons(ratings)) == 5  # equal scores make none


def test_ratings_are_paired_on_one_scale_only() -> None:
    ann = [Rating("p", Answer(text), score=value, annotator="ann") for text, value in (("a", 9.0), ("b", 8.0))]
    bob = [Rating("p", Answer(text), score=value, annotator="bob") for text, value in (("c", 2.0), ("d", 1.0))]
    thumbs = [Rating("p", Answer(text), thumb=up, annotator="ann") for text, up in (("e", True), ("f", False))]
    found = score_comparisons([*ann, *bob, *thumbs])
    # ann's 9 says nothing beside bob's 2, nor a thumb beside a score
    assert {(c.chosen.text, c.rejected.text, c.margin, c.annotator) for c in found} == {
        ("a", "b", 1.0, "ann"),
        ("c", "d", 1.0, "bob"),
        ("e", "f", 1.0, "ann"),
    }


def test_many_ratings_of_a_prompt_make_a_bounded_number_of_pairs() -> None:
    many = [rate("p", f"answer {i}", float(i)) for i in range(40)]
    few = [rate("q", "a", 1.0), rate("q", "b", 2.0)]
    found = score_comparisons([*many, *few], max_pairs=16)
    assert [c.prompt for c in found] == ["p"] * 16 + ["q"]
    everything = {(c.chosen.text, c.rejected.text) for c in score_comparisons(many)}
    drawn = {(c.chosen.text, c.rejected.text) for c in found[:16]}
    assert len(everything) == 780 and len(drawn) == 16 and drawn < everything
    # drawn from all over, not the pairs of the first answers
    assert len({int(str(text).split()[1]) // 10 for pair in drawn for text in pair}) == 4
    assert score_comparisons(many[::-1], max_pairs=16) != found  # in the order given
    assert {(c.chosen.text, c.rejected.text) for c in score_comparisons(many[::-1], max_pairs=16)} == drawn
    assert len(select(many, "pairs", max_pairs=5)) == 5


def test_labels_that_fit() -> None:
    labels: list[Label] = [compare("p", "abc", "c"), rate("p", "abcdef", 1.0), rate("p", "ab", 1.0)]
    assert fitting(Letters(), labels, 5) == [labels[0], labels[2]]  # p, a, b, c and an end token


def test_regression_takes_scores_or_computes_them_from_comparisons() -> None:
    given: list[Label] = [rate("p", "a", 3.0), compare("p", "a", "b")]
    assert scores_of(given) == given[:1]
    computed = scores_of([compare("p", "a", "b")])
    assert [r.answer.text for r in computed] == ["a", "b"]
    assert computed[0].value == pytest.approx(-computed[1].value)
    assert computed[0].value > 0
    train, held = standardise([rate("p", "a", 1.0), rate("p", "b", 5.0)], [rate("q", "c", 3.0)])
    assert [r.value for r in train] == pytest.approx([-1.0, 1.0])
    assert held[0].value == pytest.approx(0.0)


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(HoneError, match=r"no thumbs to learn from; got comparisons"):
        select([compare("p", "a", "b")], "thumbs", 0.0)


def test_a_prompt_is_on_one_side_and_a_conversation_goes_with_its_first_message() -> None:
    labels: list[Label] = [compare(f"prompt {i % 50}", f"a{i}", f"b{i}") for i in range(500)]
    train, held = split_labels(labels, 0.3)
    assert len(train) + len(held) == 500
    assert 5 <= len({label.prompt for label in held}) <= 25
    assert not {label.prompt for label in held} & {label.prompt for label in train}
    first = {"role": "user", "content": "Hi  There"}
    longer = [first, {"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]
    system = [{"role": "system", "content": "s"}, first]
    assert prompt_content([first]) == prompt_content(longer) == prompt_content(system) == prompt_content("hi there ")
    assert split_labels(labels, 0.0)[1] == []


def test_dialogues_as_text_are_split_as_their_messages_are() -> None:
    """Continuations of one conversation stay together in either form."""
    rows = []
    for i in range(400):
        said = f"\n\nHuman: question {i % 40}\n\nAssistant: reply {i}\n\nHuman: and then?" * (1 + i % 2)
        rows.append({"chosen": said + f"\n\nAssistant: good {i}", "rejected": said + f"\n\nAssistant: bad {i}"})
    sides = {}
    for form in ("messages", "text"):
        labels = [label for row in rows for label in row_labels(row, form)]
        assert isinstance(labels[0].prompt, str) == (form == "text")
        train, held = split_labels(labels, 0.3)
        sides[form] = [labels.index(label) for label in held]
        first = [{re.findall(r"question \d+", str(label.prompt))[0] for label in side} for side in (train, held)]
        assert first[1] and not first[0] & first[1]
    assert sides["text"] == sides["messages"]
