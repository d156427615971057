"""Turn curves, votes and their differences, worked out by hand on planted runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest

from hone.core.errors import HoneError
from hone.evaluate.estimates import Estimate, maj_at_k
from hone.evaluate.turns import Attempt, Run, TurnEvaluation, evaluate_turns, paired
from hone.evaluate.votes import Ties, vote

TRUTH = ("b", "d")


def run(question: int, answers: str, weights: Sequence[float] = (1, 1, 1)) -> Run:
    """One letter per attempt; "_" is an answer that could not be read, in capitals it took two tokens more."""
    made = (
        Attempt("" if a == "_" else a.lower(), a.lower() == TRUTH[question], 1 + 2 * a.isupper(), math.log(w))
        for a, w in zip(answers, weights, strict=True)
    )
    return Run(question, tuple(made))


RUNS = [run(0, "abb", (3, 1, 1)), run(0, "ba_", (5, 1, 9)), run(1, "ccd", (1, 1, 3)), run(1, "DdC")]
PARALLEL = {0: [run(0, x * 3).attempts[0] for x in "abba"], 1: [run(1, x * 3).attempts[0] for x in "cddd"]}


def values(estimates: Sequence[Estimate]) -> list[float]:
    return [estimate.value for estimate in estimates]


@pytest.fixture(scope="module")
def found() -> TurnEvaluation:
    return evaluate_turns(RUNS, PARALLEL, failures=2, greedy=[run(0, "abb"), run(1, "ddd")])


def test_curves_of_four_runs_of_three_turns(found: TurnEvaluation) -> None:
    curves = found.curves
    assert values(curves.accuracy) == [0.5, 0.5, 0.5]
    assert values(curves.any) == [0.5, 0.75, 1.0]
    assert values(curves.vote) == [0.5, 0.5, 0.5]
    assert values(curves.fixed) == [0.25, 0.25], "abb, then ccd"
    assert values(curves.broken) == [0.25, 0.25], "ba_, then DdC"
    assert values(curves.distinct) == [1.0, 1.5, 2.0]
    assert values(curves.tokens) == [1.5, 1.0, 1.5]
    assert found.greedy is not None
    assert values(found.greedy.accuracy) == [0.5, 1.0, 1.0]
    assert (found.turns, found.questions, found.runs, found.failures) == (3, 2, 4, 2)


def test_questions_count_alike_where_runs_of_one_of_them_failed() -> None:
    uneven = evaluate_turns([run(0, "abb"), run(0, "aab"), run(1, "ddd")], PARALLEL, failures=1)
    assert values(uneven.curves.accuracy) == [0.5, 0.75, 1.0], "0 ½ 1 and 1 1 1"
    assert values(uneven.curves.fixed) == [0.25, 0.25]
    assert values(uneven.curves.tokens) == [1.0, 1.0, 1.0]
    named = {name: estimate.value for name, estimate in uneven.named.items()}
    assert named["attempts with oracle"] == 1.75, "2 and 3 attempts, and 1"
    assert named["m1@t3"] == 0.75, "b wins over abb, a over aab"
    assert named["m1@t3 − m1@t1"] == named["m1@t3"] - named["m1@t1"]
    assert named["last − first"] == uneven.curves.accuracy[-1].value - uneven.curves.accuracy[0].value


def test_some_turn_was_right_is_not_the_majority_over_turns(found: TurnEvaluation) -> None:
    assert found.named["p1@t3"].value == 1.0
    assert found.named["m1@t3"].value == 0.5
    assert found.by_question["m1@t3"] == {0: 0.5, 1: 0.5}
    assert found.by_question["p1@t3"] == {0: 1.0, 1: 1.0}


def test_parallel_majorities_are_over_all_subsets(found: TurnEvaluation) -> None:
    assert values(found.parallel) == pytest.approx([0.625, 0.625, 0.75])
    assert found.named["m3@t1"].value == pytest.approx(0.75)
    assert found.by_question["m3@t1"] == pytest.approx({0: 0.5, 1: 1.0})


def test_differences_are_paired_by_question(found: TurnEvaluation) -> None:
    assert found.named["m1@t3 − m3@t1"].value == pytest.approx(-0.25)
    assert found.named["m1@t3 − m1@t1"] == Estimate(0.0, 0.0, 0.0, 2), "0 in either question: no spread"
    assert found.named["last − first"].value == 0.0
    assert found.named["attempts with oracle"].value == 1.75, "2, 1, 3, 1"


def test_a_paired_interval_is_narrower_than_what_its_parts_suggest() -> None:
    """Questions of very different difficulty; the second model is better by 0.1 on each."""
    easy = {q: q / 1000 for q in range(900)}
    better = {q: v + 0.1 for q, v in easy.items()}
    gain = paired(better, easy)
    assert gain.value == pytest.approx(0.1)
    assert gain.high - gain.low < 1e-9
    assert paired({1: 1.0, 2: 0.0}, {2: 1.0, 3: 5.0}).value == -1.0
    assert paired({1: 1.0}, {2: 1.0}).count == 0


def test_the_question_is_the_unit() -> None:
    """Eight equal runs of two questions are two observations, not sixteen."""
    one = [Run(0, (Attempt("b", True),))] * 8 + [Run(1, (Attempt("x", False),))] * 8
    many = [Run(q, (Attempt("b", q % 2 == 0),)) for q in range(16)]
    few, enough = (evaluate_turns(runs, {}).named["m1@t1"] for runs in (one, many))
    assert (few.value, few.count, enough.count) == (0.5, 2, 16)
    assert few.high - few.low > 1.5 * (enough.high - enough.low)


@pytest.mark.parametrize(("ties", "expected"), [("latest", 0.0), ("earliest", 1.0), ("lot", 0.5)])
def test_ties(ties: Ties, expected: float) -> None:
    assert vote(["b", "a", ""], [True, False, False], ties) == expected
    assert vote(["a", "b", "a", "b", "c"], [False, True, False, True, False], ties) == 1 - expected
    assert vote(["a", "b", "b"], [False, True, True], ties) == 1.0
    assert evaluate_turns(RUNS[1:2], {}, ties=ties).named["m1@t3"].value == expected


def test_votes_of_nobody_are_wrong_and_grades_of_one_answer_are_averaged() -> None:
    assert vote(["", ""], [False, False]) == 0.0
    assert vote(["", "b"], [True, True]) == 1.0, "what cannot be read abstains, whatever it is worth"
    assert vote(["x", "x", "y"], [True, False, True]) == 0.5


def test_weighted_votes() -> None:
    found = evaluate_turns(RUNS, PARALLEL, weighted=True)
    # a 3 against b 2; b 5 against a 1; c 2 against d 3; d 2 against c 1
    assert found.by_question["w1@t3"] == {0: 0.5, 1: 1.0}
    assert found.named["w1@t3"].value == 0.75
    # the first three parallel answers: a 1 against b 2; c 1 against d 2
    assert found.by_question["w3@t1"] == {0: 1.0, 1: 1.0}
    assert found.named["w1@t3 − w3@t1"].value == -0.25
    assert "w1@t3" not in evaluate_turns(RUNS, PARALLEL).named
    # Far below the judge's best of the question (another run's, or one that abstains): b still outweighs a.
    low = Run(0, (Attempt("b", True, log_weight=-2000.0), Attempt("a", False, log_weight=-2001.0), Attempt("", False)))
    top = Run(0, tuple(Attempt("a", False, log_weight=0.0) for _ in range(3)))
    assert evaluate_turns([low, top], {}, weighted=True).by_question["w1@t3"] == {0: 0.5}


def test_by_lot_over_one_run_is_the_majority_over_its_only_subset() -> None:
    for answers in itertools.product("abc", repeat=4):
        right = [a == "b" for a in answers]
        assert vote(answers, right, "lot") == pytest.approx(maj_at_k(answers, right, 4))


def test_questions_with_too_few_parallel_answers_are_in_no_difference() -> None:
    found = evaluate_turns(RUNS, {0: PARALLEL[0], 1: PARALLEL[1][:2]})
    assert [estimate.count for estimate in found.parallel] == [2, 2, 1]
    assert found.named["m1@t3 − m3@t1"].count == 1


def test_without_answers_there_are_no_votes() -> None:
    mute = [Run(0, (Attempt("", True), Attempt("", False)))]
    found = evaluate_turns(mute, {0: [Attempt("", True)] * 2}, weighted=True)
    assert values(found.curves.accuracy) == [1.0, 0.0]
    for name in ("m1@t2", "m2@t1", "m1@t2 − m2@t1", "m1@t2 − m1@t1"):
        assert (found.named[name].count, math.isnan(found.named[name].value)) == (0, True), name
    assert [e.count for e in (*found.curves.vote, *found.curves.distinct)] == [0] * 4
    unread = evaluate_turns([Run(0, (Attempt("", False),))], {})
    assert unread.named["m1@t1"].value == unread.curves.vote[0].value == 0.0, "nothing to read and nothing right"


def test_json_has_no_nan_and_names_questions_by_text(found: TurnEvaluation) -> None:
    plain = found.plain()
    assert plain["named"]["m1@t3"]["value"] == 0.5
    assert plain["curves"]["any"][1]["value"] == 0.75
    assert plain["by_question"]["last"] == {"0": 0.5, "1": 0.5}
    assert plain["greedy"]["vote"][2]["value"] == 1.0


def test_runs_of_different_lengths_are_refused() -> None:
    with pytest.raises(HoneError, match="runs of 1, 3 turns"):
        evaluate_turns([RUNS[0], Run(0, RUNS[0].attempts[:1])], {})
    with pytest.raises(HoneError, match="no graded run"):
        evaluate_turns([], {})
