"""Logged attempts become rows: the cases of the released converter exactly, filters, examples and their credit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from hone.algorithms.base import credited
from hone.algorithms.rwr import RWR
from hone.data.attempts import (
    Attempt,
    Conversion,
    Criterion,
    Dialogue,
    Visit,
    convert,
    examples,
    is_degenerate,
)
from hone.data.rows import pad_examples


def attempt(name: str, reward: float | None, source: str = "policy") -> Attempt:
    return Attempt(name, (*map(ord, name), 0), reward, source)


def dialogue(
    rewards: Sequence[float | None], improved: Sequence[float | None] = (), names: str = "abcdefgh"
) -> Dialogue:
    """Own attempts a, b, c, ...; improved ones A, B, C, ... at the first turns, where they are given."""
    visits = []
    context: tuple[int, ...] = (1,)
    for turn, reward in enumerate(rewards):
        own = attempt(names[turn], reward)
        better = attempt(names[turn].upper(), improved[turn], "teacher") if turn < len(improved) else None
        visits.append(Visit(context, own, better))
        context = (*context, *own.tokens, 2)
    return Dialogue(episode=7, iteration=3, visits=tuple(visits))


OWN = Conversion("all", own=True)


@pytest.mark.parametrize(
    ("rewards", "criterion", "turns"),
    [
        ([0, 0, 1], "all", [1, 2, 3]),
        ([0, 0, 1], "better", [1, 3]),
        ([0, 0, 1], "best", [1, 2, 3]),
        ([0, 0, 1], "success", [3]),
        ([0, -1, 1], "all", [1, 2, 3]),
        ([0, -1, 1], "better", [1, 3]),
        ([0, -1, 1], "best", [1, 3]),
        ([0, -1, 1], "success", [3]),
    ],
)
def test_the_cases_of_the_released_converter(rewards: list[float], criterion: Criterion, turns: list[int]) -> None:
    rule = replace(OWN, criterion=criterion)
    assert [row.turn for row in convert([dialogue(rewards)], rule)] == turns
    # The same, where the last answer is a teacher's in the place of whatever the policy did there.
    log = dialogue([*rewards[:-1], -1.0], improved=[0.5] * 2 + rewards[-1:])
    found = convert([log], replace(rule, improved="last"))
    assert [row.turn for row in found] == turns
    assert [row.source for row in found] == ["policy"] * (len(turns) - 1) + ["teacher"]


@pytest.mark.parametrize(
    ("centring", "weights"),
    [("none", [1, 1, 12.182494]), ("prompt", [0.4345982, 0.4345982, 5.2944901])],
)
@pytest.mark.parametrize("criterion", ["all", "better", "best", "success"])
def test_weights_of_the_released_converter(centring: str, weights: list[float], criterion: Criterion) -> None:
    found, rows = examples([dialogue([0, 0, 1])], replace(OWN, criterion=criterion))
    algorithm = RWR(centring=centring)  # type: ignore[arg-type]
    batch, _ = credited(algorithm, pad_examples(found, 0), algorithm.init_state())
    weight_B = batch.need("advantage").amax(-1)[batch.train.any(-1)]
    assert weight_B.tolist() == pytest.approx([weights[row.turn - 1] for row in rows], rel=1e-6)
    if centring == "prompt":
        assert weights[2] == pytest.approx(math.exp((1 - 1 / 3) / 0.4), rel=1e-6)


def test_only_the_last_answer_of_a_row_is_learnt_and_it_says_where_it_came_from() -> None:
    found, rows = examples([dialogue([0, 0], improved=[0, 1])], Conversion("success"))
    (row,) = rows
    assert (row.turn, row.source, row.reward, row.iteration, row.episode) == (2, "teacher", 1, 3, 7)
    assert row.context == (1, ord("a"), 0, 2) and row.answer == (ord("B"), 0)
    ((learnt, *stubs),) = found
    assert learnt.tokens == (1, ord("a"), 0, 2, ord("B"), 0)
    assert learnt.train == (False, False, False, False, True, True) and learnt.reward == 1
    assert sorted(stub.reward for stub in stubs) == [0, 0, 0] and not any(any(stub.train) for stub in stubs)


def test_improved_answers_of_every_turn_or_of_the_last() -> None:
    log = dialogue([0, 0, 0], improved=[1, 0, 1])
    assert [(r.turn, r.source) for r in convert([log], Conversion("all"))] == [(t, "teacher") for t in (1, 2, 3)]
    assert [r.turn for r in convert([log], Conversion("better"))] == [1, 3]
    assert [r.turn for r in convert([log], Conversion("all", improved="last"))] == [3]
    both = [(r.turn, r.source) for r in convert([log], Conversion("all", improved="last", own=True))]
    assert both == [(1, "policy"), (2, "policy"), (3, "teacher")]
    assert len(convert([log], Conversion("all", own=True))) == 6


def test_turns_after_a_correct_attempt() -> None:
    log = dialogue([0, 1, 0, 1], improved=[0, 1, 1, 0])
    assert [r.turn for r in convert([log], Conversion("best"))] == [1, 2]
    assert [r.turn for r in convert([log], Conversion("best", after_correct="keep"))] == [1, 2, 3]
    with pytest.raises(ValueError, match="nothing beats a correct one"):
        Conversion("better", after_correct="keep")


def test_turns_after_which_things_got_worse() -> None:
    log = dialogue([0.5, 0.2, 0.9], improved=[0.6, 0.3, 1])
    assert [r.turn for r in convert([log], Conversion("all"))] == [1, 2, 3]
    assert [r.turn for r in convert([log], Conversion("all", after_worse="drop"))] == [1]
    own = replace(OWN, after_worse="drop")
    assert [(r.turn, r.source) for r in convert([dialogue([0.2, 0.5, 0.1, 0.9])], own)] == [
        (1, "policy"),
        (2, "policy"),
    ]


def test_duplicates() -> None:
    same = dialogue([0, 0, 0], names="aab")
    assert [r.turn for r in convert([same], OWN)] == [1, 3]
    assert [r.turn for r in convert([same], replace(OWN, duplicates=True))] == [1, 2, 3]
    assert [r.turn for r in convert([same, same], OWN)] == [1, 3], "the same row again"
    right = dialogue([1, 1], names="aa")
    assert [r.turn for r in convert([right], replace(OWN, after_correct="keep"))] == [1, 2], "a right answer is held"
    blank = dialogue([0, 0], names=" b")
    assert [r.turn for r in convert([blank], OWN)] == [2]


def test_degenerate_answers() -> None:
    assert is_degenerate("no " * 151) and not is_degenerate("no " * 150)
    assert is_degenerate("x" * 301) and not is_degenerate("x" * 300)
    log = Dialogue(0, 1, (Visit((1,), attempt("x" * 301, 1.0)),))
    assert not convert([log], OWN)
    assert len(convert([log], replace(OWN, degenerate=True))) == 1


def test_only_success() -> None:
    logs = [dialogue([0, 0]), dialogue([0, 1])]
    assert [r.turn for r in convert(logs, replace(OWN, only_success=True, duplicates=True))] == [1, 2]
    helped = dialogue([0, 0], improved=[0, 1])
    assert [r.turn for r in convert([helped], Conversion("all", only_success=True))] == [1, 2]


def test_what_could_not_be_graded_is_in_no_row_and_no_baseline() -> None:
    log = dialogue([0, None], improved=[None, 1])
    found, rows = examples([log], Conversion("all"))
    assert [r.turn for r in rows] == [2]
    assert sorted(row.reward for row in found[0]) == [0, 1]
    assert examples([dialogue([None], improved=[None])], Conversion("all", own=True)) == ([], [])


def test_a_prompt_s_answers_are_one_group_and_rounds_are_apart() -> None:
    logs = [dialogue([0, 1]), dialogue([1], names="z"), replace(dialogue([0], names="q"), iteration=4)]
    found, rows = examples(logs, OWN)
    assert [len(example) for example in found] == [3, 1] and len(rows) == 4
    batch, _ = credited(RWR(), pad_examples(found, 0), RWR().init_state())
    expected = [math.exp((r - 2 / 3) / 0.4) for r in (0, 1, 1)] + [1.0]
    assert torch.allclose(batch.need("advantage").amax(-1), torch.tensor(expected))


def test_dialogues_survive_json() -> None:
    log = dialogue([0, None, 1], improved=[1, None])
    assert Dialogue.of(json.loads(json.dumps(log.plain()))) == log
