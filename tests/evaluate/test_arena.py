"""The arena and the agreement by numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from hone.data.feedback.verdicts import Verdict
from hone.evaluate.arena import make_agreement, make_arena


def verdict(prompt: int, first: str, second: str, ranks: tuple[int, int], who: str = "ann", start: int = 0) -> Verdict:
    return Verdict(prompt, who, [(start, (first,), ranks[0]), (start + 1, (second,), ranks[1])])


def test_two_players_by_hand() -> None:
    verdicts = [verdict(i, "a", "b", (1, 2) if i % 4 else (2, 1)) for i in range(400)]  # a wins 3 of 4
    arena = make_arena(verdicts)
    first, second = arena.standings
    assert (first.name, first.battles, first.won, arena.battles, arena.left_out) == ("a", 400, 0.75, 400, 0)
    # odds of 3: 400 log10(3) = 190.8 points between them, around 1000
    strength, elo = first.bradley_terry, first.elo
    assert strength.value - second.bradley_terry.value == pytest.approx(190.8, abs=0.2)
    assert strength.value + second.bradley_terry.value == pytest.approx(2000)
    assert strength.interval is not None and strength.interval[0] < strength.value < strength.interval[1]
    assert elo.interval is not None and 1000 < elo.interval[0] < elo.value < elo.interval[1]
    assert [league.shares for league in arena.leagues] == [[[None, (0.75, 400)], [(0.25, 400), None]]]


def test_too_few_battles_have_no_interval_instead_of_one_of_width_zero() -> None:
    one_prompt = [verdict(1, "a", "b", (1, 2)), verdict(1, "a", "b", (2, 1)), verdict(1, "a", "b", (1, 2))]
    always = [verdict(i, "a", "b", (1, 2)) for i in range(5)]
    for verdicts in (one_prompt, always):
        arena = make_arena(verdicts)
        assert [(s.bradley_terry.interval, s.elo.interval) for s in arena.standings] == [(None, None)] * 2
        low, high = arena.span
        assert low < arena.standings[1].bradley_terry.value < arena.standings[0].bradley_terry.value < high
    # Whether others met more often says nothing of these: their one prompt is drawn now and then, that is all.
    others = [verdict(2 + i, "x", "y", (1, 2) if i % 2 else (2, 1)) for i in range(9)]
    arena = make_arena([*one_prompt, *others])
    told = {s.name: (s.bradley_terry.interval is None, s.elo.interval is None) for s in arena.standings}
    assert told == {"a": (True, True), "b": (True, True), "x": (False, False), "y": (False, False)}
    mixed = make_arena([*one_prompt, verdict(2, "a", "b", (2, 1))])
    assert all(s.bradley_terry.interval is not None for s in mixed.standings)


def test_who_never_met_even_by_way_of_others_is_not_ranked_together() -> None:
    chain = [verdict(1, "a", "b", (1, 2)), verdict(2, "b", "c", (1, 2))]
    apart = [verdict(3 + i, "x", "y", (1, 2)) for i in range(9)]
    arena = make_arena([*apart, *chain])
    assert [[s.name for s in league.standings] for league in arena.leagues] == [["a", "b", "c"], ["x", "y"]]
    for league in arena.leagues:  # each has a mean of its own, and the ratings it would have alone
        assert sum(s.bradley_terry.value for s in league.standings) == pytest.approx(1000 * len(league.standings))
    alone = make_arena(apart).standings
    assert [s.bradley_terry.value for s in arena.leagues[1].standings] == pytest.approx(
        [s.bradley_terry.value for s in alone], abs=1e-3
    )
    assert len(arena.leagues[0].shares) == 3 and arena.leagues[1].shares == [[None, (1.0, 9)], [(0.0, 9), None]]


def test_rankings_are_all_their_pairs_and_ties_half_wins() -> None:
    ranking = Verdict(1, "ann", [(1, ("a",), 1), (2, ("b",), 2), (3, ("c",), 2)])
    arena = make_arena([ranking])
    assert arena.battles == 3
    assert {s.name: s.won for s in arena.standings} == {"a": 1.0, "b": 0.25, "c": 0.25}


def test_an_answer_that_two_wrote_counts_for_both() -> None:
    alike = Verdict(1, "ann", [(1, ("a", "b"), 1), (2, ("c",), 2)])
    arena = make_arena([alike])
    assert {s.name: (s.battles, s.won) for s in arena.standings} == {"a": (1, 1.0), "b": (1, 1.0), "c": (2, 0.0)}
    assert (arena.battles, arena.left_out) == (2, 0)
    mixed = Verdict(1, "ann", [(1, ("a", "b"), 1), (2, ("a",), 2)])  # of a against a there is nothing to learn
    assert [(s.name, s.won) for s in make_arena([mixed]).standings] == [("b", 1.0), ("a", 0.0)]


def test_unknown_and_equal_authors_are_left_out_and_counted() -> None:
    arena = make_arena([verdict(1, "", "b", (1, 2)), verdict(2, "a", "a", (1, 2)), verdict(3, "a", "b", (1, 1))])
    assert (arena.battles, arena.left_out) == (1, 2)
    assert [s.won for s in arena.standings] == [0.5, 0.5]
    assert make_arena([]).standings == []


def test_agreement_by_hand() -> None:
    verdicts = [
        verdict(1, "a", "b", (1, 2), "ann", 0),
        verdict(1, "a", "b", (1, 2), "bob", 0),
        verdict(2, "a", "b", (1, 2), "ann", 10),
        verdict(2, "a", "b", (2, 1), "bob", 10),
        verdict(3, "a", "b", (1, 1), "ann", 20),
    ]
    found = make_agreement(verdicts)
    assert (found.share, found.pairs) == (0.5, 2)
    assert found.kappas == {("ann", "bob"): (0.0, 2)}
    assert found.alpha == pytest.approx(0.0)  # as in the test of the formula: ab and aa
    changed = make_agreement([*verdicts, verdict(2, "a", "b", (1, 2), "bob", 10)])
    assert changed.share == 1.0
    assert math.isnan(make_agreement([]).alpha)
