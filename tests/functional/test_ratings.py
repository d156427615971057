"""Ratings against slow loops, Zermelo's algorithm and scikit-learn; planted strengths; a known interval."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from hone.core.errors import HoneError
from hone.functional.ratings import (
    ELO_PER_NAT,
    Battles,
    average_elo,
    bootstrap_bradley_terry,
    bootstrap_elo,
    bradley_terry,
    connected,
    elo,
    to_elo,
    win_matrix,
)

Triples = list[tuple[str, str, float]]


def simulate(strength: dict[str, float], count: int, seed: int, tie: float = 0.1) -> Triples:
    rng = random.Random(seed)
    battles = []
    for _ in range(count):
        a, b = rng.sample(sorted(strength), 2)
        p = 1 / (1 + math.exp(strength[b] - strength[a]))
        # A tie replaces a battle's result whatever it was: strengths shrink but keep their order.
        battles.append((a, b, 0.5 if rng.random() < tie else float(rng.random() < p)))
    return battles


PLANTED = dict(zip("abcdefgh", np.linspace(-1.5, 1.5, 8).tolist(), strict=True))
SOME = simulate(PLANTED, 600, seed=1)


def slow_elo(triples: Triples, k: float) -> dict[str, float]:
    """Written from the formula, one battle at a time, in a dictionary."""
    rating = dict.fromkeys(sorted({t[0] for t in triples} | {t[1] for t in triples}), 1000.0)
    for a, b, score in triples:
        expected_a = 1 / (1 + 10 ** ((rating[b] - rating[a]) / 400))
        expected_b = 1 / (1 + 10 ** ((rating[a] - rating[b]) / 400))
        rating[a], rating[b] = rating[a] + k * (score - expected_a), rating[b] + k * ((1 - score) - expected_b)
    return rating


def zermelo(triples: Triples, rounds: int = 5_000) -> dict[str, float]:
    """Maximum likelihood by minorisation (Zermelo 1929): π_i ← wins_i / Σ_j n_ij / (π_i + π_j)."""
    names = sorted({t[0] for t in triples} | {t[1] for t in triples})
    wins = dict.fromkeys(names, 0.0)
    for a, b, score in triples:
        wins[a] += score
        wins[b] += 1 - score
    pi = dict.fromkeys(names, 1.0)
    for _ in range(rounds):
        share = dict.fromkeys(names, 0.0)
        for a, b, _score in triples:
            share[a] += 1 / (pi[a] + pi[b])
            share[b] += 1 / (pi[a] + pi[b])
        pi = {n: wins[n] / share[n] for n in names}
    centre = sum(math.log(p) for p in pi.values()) / len(pi)
    return {n: math.log(p) - centre for n, p in pi.items()}


def test_one_battle_by_hand() -> None:
    battles = Battles.of([("x", "y", 1.0), ("x", "y", 0.5)])
    # 1000 against 1000: expected ½, so +16 and −16; then 1016 against 984: expected 1/(1+10^(−32/400)) = 0.54592
    expected = 1016 + 32 * (0.5 - 1 / (1 + 10 ** (-32 / 400)))
    assert elo(battles, k=32).tolist() == pytest.approx([expected, 2000 - expected])


def test_a_nat_is_173_7_points() -> None:
    assert pytest.approx(173.7178, abs=1e-4) == ELO_PER_NAT
    # e : 1 odds are one nat: e/(1+e) of the battles won
    share = math.e / (1 + math.e)
    theta = bradley_terry(Battles.of([("x", "y", 1.0)] * 7311 + [("x", "y", 0.0)] * 2689), ridge=0)
    assert theta[0] - theta[1] == pytest.approx(math.log(0.7311 / 0.2689))
    assert share == pytest.approx(0.7311, abs=1e-4)
    points = to_elo(theta)
    assert points[0] - points[1] == pytest.approx(173.72, abs=0.05)
    assert 1 / (1 + 10 ** (-(points[0] - points[1]) / 400)) == pytest.approx(0.7311)


def test_online_elo_equals_the_loop() -> None:
    slow = slow_elo(SOME, 4.0)
    battles = Battles.of(SOME)
    assert elo(battles).tolist() == pytest.approx([slow[name] for name in battles.players])


def test_averaged_elo_is_the_mean_over_orders() -> None:
    from hone.core.seeding import generator

    few = SOME[:40]
    battles = Battles.of(few)
    orders = [generator(5, "elo order", r).permutation(40) for r in range(7)]
    slow = [slow_elo([few[i] for i in order], 8.0) for order in orders]
    expected = [sum(s[name] for s in slow) / 7 for name in battles.players]
    assert average_elo(battles, 8.0, rounds=7, seed=5).tolist() == pytest.approx(expected)


def test_averaged_elo_does_not_depend_on_the_order_as_online_elo_does() -> None:
    # All of a's wins first, then all of its losses: online Elo remembers the losses best.
    first = Battles.of([("a", "b", 1.0)] * 50 + [("a", "b", 0.0)] * 50)
    last = Battles.of([("a", "b", 0.0)] * 50 + [("a", "b", 1.0)] * 50)
    assert elo(first, 32)[0] < 900 < 1100 < elo(last, 32)[0]
    assert abs(average_elo(first, 32, rounds=400)[0] - average_elo(last, 32, rounds=400)[0]) < 15


def test_maximum_likelihood_equals_zermelos_algorithm() -> None:
    few = SOME[:200]
    slow = zermelo(few)
    battles = Battles.of(few)
    assert bradley_terry(battles, ridge=0).tolist() == pytest.approx([slow[n] for n in battles.players], abs=1e-6)


@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_equals_logistic_regression_of_scikit_learn(ridge: float) -> None:
    from sklearn.linear_model import LogisticRegression

    battles = Battles.of(SOME)
    design, label, weight = [], [], []
    for a, b, score in SOME:
        row = np.zeros(len(battles.players))
        row[battles.players.index(a)], row[battles.players.index(b)] = 1.0, -1.0
        design += [row, row]
        label += [1, 0]
        weight += [score, 1 - score]
    # scikit-learn minimises ½|θ|² + C Σ loss
    peer = LogisticRegression(C=1 / ridge, fit_intercept=False, tol=1e-10, max_iter=10_000)
    theta = peer.fit(np.array(design), label, sample_weight=weight).coef_[0]
    assert bradley_terry(battles, ridge).tolist() == pytest.approx((theta - theta.mean()).tolist(), abs=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_strengths_are_recovered(seed: int) -> None:
    battles = Battles.of(simulate(PLANTED, 3_000, seed))
    planted = np.array([PLANTED[name] for name in battles.players])
    for found in (bradley_terry(battles), average_elo(battles), elo(battles)):
        assert np.corrcoef(planted, found)[0, 1] > 0.95
    clean = Battles.of(simulate(PLANTED, 20_000, seed, tie=0.0))
    assert np.abs(bradley_terry(clean) - planted).max() < 0.12


def test_a_player_who_always_wins_has_a_finite_rating_only_with_a_ridge() -> None:
    battles = Battles.of([("a", "b", 1.0)] * 9)
    with pytest.raises(HoneError, match="no strengths maximise"):
        bradley_terry(battles, ridge=0)
    theta = bradley_terry(battles, ridge=0.1)
    # at the maximum the pull of nine wins equals the prior's: 9 σ(−2θ) = 0.1 θ
    assert 9 / (1 + math.exp(2 * theta[0])) == pytest.approx(0.1 * theta[0])
    with pytest.raises(HoneError, match="no strengths maximise"):
        bradley_terry(Battles.of([("a", "b", 0.5), ("c", "d", 0.5)]), ridge=0)


def test_bootstrap_interval_of_two_players_is_the_binomials() -> None:
    # 60 of 100: log-odds 0.405, standard error 1/√(n p q) = 0.204; θ of one player is half the difference
    battles = Battles.of([("a", "b", 1.0)] * 60 + [("a", "b", 0.0)] * 40)
    found = bootstrap_bradley_terry(battles, ridge=0, rounds=2_000)
    assert found.value_P[0] == pytest.approx(math.log(1.5) / 2)
    assert (found.high_P[0] - found.low_P[0]) / 2 == pytest.approx(1.96 * 0.204 / 2, rel=0.08)


def test_the_bootstrap_draws_clusters_whole() -> None:
    triples = [("a", "b", 1.0)] * 60 + [("a", "b", 0.0)] * 40
    clusters = [i // 10 for i in range(100)]  # ten prompts of ten battles that all end alike: n is 10, not 100
    wide = bootstrap_bradley_terry(Battles.of(triples, clusters), rounds=500)
    narrow = bootstrap_bradley_terry(Battles.of(triples), rounds=500)
    ratio = (wide.high_P - wide.low_P) / (narrow.high_P - narrow.low_P)
    assert 2.5 < ratio[0] < 4.5  # √10 = 3.16


def test_elo_intervals_hold_the_value() -> None:
    found = bootstrap_elo(Battles.of(SOME), k=2.0, rounds=200)
    assert ((found.low_P < found.value_P) & (found.value_P < found.high_P)).all()
    assert np.corrcoef(found.value_P, list(PLANTED.values()))[0, 1] > 0.95


def test_elo_bootstrap_equals_the_loop_over_clusters_of_unequal_size() -> None:
    from hone.core.seeding import generator

    few = SOME[:12]
    clusters = [0, 0, 0, 0, 0, 1, 2, 2, 3, 3, 3, 4]
    rounds = 5
    battles = Battles.of(few, clusters)
    slow = []
    for r in range(rounds):
        drawn = generator(3, "bootstrap", r).multinomial(5, [0.2] * 5)
        index = [i for i, c in enumerate(clusters) for _ in range(drawn[c])]
        rating = slow_elo([few[i] for i in generator(3, "elo bootstrap", r).permutation(index)], 4.0)
        slow.append([rating.get(name, 1000.0) for name in battles.players])
    found = bootstrap_elo(battles, rounds=rounds, seed=3)
    assert found.low_P.tolist() == pytest.approx(np.percentile(slow, 2.5, axis=0).tolist())
    assert found.high_P.tolist() == pytest.approx(np.percentile(slow, 97.5, axis=0).tolist())


def test_connected_players_by_hand() -> None:
    battles = Battles.of([("a", "d", 1.0), ("c", "b", 0.0), ("d", "e", 0.5)])
    a, b, c, d, e = connected(battles).tolist()
    assert a == d == e != b == c


def test_one_cluster_or_equal_draws_have_no_interval() -> None:
    triples = [("a", "b", 1.0)] * 6 + [("a", "b", 0.0)] * 4
    for bootstrap in (bootstrap_bradley_terry, bootstrap_elo):
        assert np.isnan(bootstrap(Battles.of(triples, [1] * 10)).low_P).all()
        assert np.isfinite(bootstrap(Battles.of(triples)).low_P).all()
    assert np.isnan(bootstrap_bradley_terry(Battles.of(triples[:6])).high_P).all()


def test_win_matrix_by_hand() -> None:
    wins, games = win_matrix(Battles.of([("a", "b", 1.0), ("b", "a", 0.5), ("c", "a", 0.0)]))
    assert wins.tolist() == [[0, 1.5, 1], [0.5, 0, 0], [0, 0, 0]]
    assert games.tolist() == [[0, 2, 1], [2, 0, 0], [1, 0, 0]]


def test_no_battles_and_bad_battles() -> None:
    empty = Battles.of([], players=["a", "b"])
    assert elo(empty).tolist() == [1000.0, 1000.0]
    assert bootstrap_bradley_terry(empty).value_P.tolist() == [0.0, 0.0]
    assert bootstrap_elo(empty).value_P.tolist() == [1000.0, 1000.0]
    for found in (bootstrap_bradley_terry(empty), bootstrap_elo(empty)):  # nothing is known, not everything
        assert np.isnan(found.low_P).all() and np.isnan(found.high_P).all()
    assert connected(empty).tolist() == [0, 1] and connected(Battles.of([])).tolist() == []
    assert len(bradley_terry(Battles.of([]))) == 0
    with pytest.raises(HoneError, match="no battle"):
        Battles.of([("a", "a", 1.0)])
    with pytest.raises(HoneError, match="no battle"):
        Battles.of([("a", "b", 2.0)])
    with pytest.raises(HoneError, match="one cluster"):
        Battles.of([("a", "b", 1.0)], clusters=[])
    with pytest.raises(HoneError, match="ridge"):
        bradley_terry(empty, ridge=-1)
