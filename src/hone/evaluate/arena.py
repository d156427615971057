"""The arena: how strong every model and checkpoint is, from all comparisons of answers whose authors are known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING

from hone.functional.agreement import krippendorff_alpha, pairwise_kappa, percent_agreement
from hone.functional.ratings import (
    Battles,
    Interval,
    bootstrap_bradley_terry,
    bootstrap_elo,
    connected,
    to_elo,
    win_matrix,
)

if TYPE_CHECKING:
    from hone.data.feedback.verdicts import Verdict


@dataclass(frozen=True)
class Rating:
    """A rating in points and the ends of its 95 % interval; None where the battles do not tell."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Standing:
    """A player's line in the table."""

    name: str
    battles: int
    won: float
    bradley_terry: Rating
    elo: Rating


@dataclass(frozen=True)
class League:
    """Players who met, directly or by way of others: only they have a common scale.

    Attributes:
        standings: the strongest first.
        shares: row against column: share won (ties half) and number of battles, in the order of the standings; None
            on the diagonal and where two never met.
    """

    standings: list[Standing]
    shares: list[list[tuple[float, int] | None]]


@dataclass(frozen=True)
class Arena:
    """Everything the page shows.

    Attributes:
        leagues: the one with most players first; one alone where all players are connected by battles.
        battles: comparisons (and pairs of rankings) between two known authors.
        left_out: pairs of one author, or with an author unknown.
    """

    leagues: list[League]
    battles: int
    left_out: int

    @property
    def standings(self) -> list[Standing]:
        """Those of all leagues."""
        return [standing for league in self.leagues for standing in league.standings]

    @property
    def span(self) -> tuple[float, float]:
        """The points between which all ratings and intervals lie, for drawing."""
        ratings = [rating for s in self.standings for rating in (s.bradley_terry, s.elo)]
        ends = [x for rating in ratings for x in (rating.value, *(rating.interval or ()))]
        low, high = min(ends, default=900.0), max(ends, default=1100.0)
        room = max(0.04 * (high - low), 5.0)
        return low - room, high + room


def make_arena(verdicts: Iterable[Verdict], rounds: int = 100) -> Arena:
    """Rate every author from verdicts; prompts are what the bootstrap draws, for battles of one prompt are alike."""
    triples, prompts, left_out = meetings(verdicts)
    battles = Battles.of(triples, prompts)
    found = bootstrap_bradley_terry(battles, rounds=rounds)
    strength = Interval(to_elo(found.value_P), to_elo(found.low_P), to_elo(found.high_P))
    points = bootstrap_elo(battles, rounds=rounds)
    wins_PP, games_PP = win_matrix(battles)

    def league(players: list[int]) -> League:
        order = sorted(players, key=lambda i: -strength.value_P[i])
        standings = [
            Standing(
                battles.players[i],
                int(games_PP[i].sum()),
                float(wins_PP[i].sum() / games_PP[i].sum()),
                _rating(strength, i),
                _rating(points, i),
            )
            for i in order
        ]
        shares = [
            [(float(wins_PP[i, j] / games_PP[i, j]), int(games_PP[i, j])) if games_PP[i, j] else None for j in order]
            for i in order
        ]
        return League(standings, shares)

    members: dict[int, list[int]] = {}
    for player, number in enumerate(connected(battles).tolist()):
        members.setdefault(number, []).append(player)
    leagues = [league(players) for players in sorted(members.values(), key=lambda players: -len(players))]
    return Arena(leagues, len(battles), left_out)


def meetings(verdicts: Iterable[Verdict]) -> tuple[list[tuple[str, str, float]], list[int], int]:
    """Battles (first, second, score) of known and different authors, the prompt of each, and how many pairs are none.

    An answer that several wrote counts for each of them.
    """
    triples: list[tuple[str, str, float]] = []
    prompts: list[int] = []
    left_out = 0
    for verdict in verdicts:
        for (_, firsts, rank), (_, seconds, other) in combinations(verdict.answers, 2):
            met = [(a, b) for a, b in product(firsts, seconds) if a and b and a != b]
            triples += [(a, b, 0.5 if rank == other else float(rank < other)) for a, b in met]
            prompts += [verdict.prompt] * len(met)
            left_out += not met
    return triples, prompts, left_out


@dataclass(frozen=True)
class Agreement:
    """How far annotators agree on the same pairs of answers; NaN where there is nothing to say.

    Attributes:
        share: equal verdicts among all pairs of annotators of the same pair of answers; ``pairs`` how many.
        alpha: Krippendorff's.
        kappas: Cohen's for every two annotators with the number of pairs of answers both judged.
    """

    share: float
    pairs: int
    alpha: float
    kappas: dict[tuple[str, str], tuple[float, int]]


def make_agreement(verdicts: Iterable[Verdict]) -> Agreement:
    """Agreement over pairs of answers: first better, second better, tie; a person's last verdict counts."""
    labels: dict[tuple[int, int], dict[str, int]] = {}
    for verdict in verdicts:
        for (first, _, rank), (second, _, other) in combinations(verdict.answers, 2):
            labels.setdefault((first, second), {})[verdict.annotator] = (rank > other) - (rank < other)
    share, pairs = percent_agreement(labels)
    units = [list(item.values()) for item in labels.values()]
    return Agreement(share, pairs, krippendorff_alpha(units) if pairs else math.nan, pairwise_kappa(labels))


def _rating(interval: Interval, player: int) -> Rating:
    value, low, high = (float(x[player]) for x in (interval.value_P, interval.low_P, interval.high_P))
    return Rating(value, None if math.isnan(low) else (low, high))
