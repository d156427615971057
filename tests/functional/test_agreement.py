"""Agreement by published and hand-computed numbers, and against scikit-learn."""

from __future__ import annotations

import math
import random

import pytest

from hone.functional.agreement import cohen_kappa, krippendorff_alpha, pairwise_kappa, percent_agreement


def test_cohens_kappa_by_hand() -> None:
    # 45 both yes, 15 yes/no, 25 no/yes, 15 both no: p_o .6, p_e .6·.7 + .4·.3 = .54, kappa .06/.46
    pairs = [("y", "y")] * 45 + [("y", "n")] * 15 + [("n", "y")] * 25 + [("n", "n")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.06 / 0.46)
    assert math.isnan(cohen_kappa([])) and math.isnan(cohen_kappa([("y", "y")]))
    assert cohen_kappa([("y", "n"), ("n", "y")]) == -1.0


def test_cohens_kappa_equals_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = random.Random(0)
    first = [rng.choice("abt") for _ in range(300)]
    second = [x if rng.random() < 0.6 else rng.choice("abt") for x in first]
    assert cohen_kappa(list(zip(first, second, strict=True))) == pytest.approx(cohen_kappa_score(first, second))


def test_krippendorffs_alpha_of_his_example() -> None:
    """ "Computing Krippendorff's alpha-reliability" (2011), part C: four observers, missing data, alpha = 0.743."""
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
    units = [[row[i] for row in table if row[i]] for i in range(12)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_by_hand_and_at_its_ends() -> None:
    # units ab, aa: n = 4, n_a = 3, n_b = 1; D_o = 2/4, D_e = 2·3·1/12 = ½
    assert krippendorff_alpha([["a", "b"], ["a", "a"]]) == pytest.approx(0.0)
    assert krippendorff_alpha([["a", "a"], ["b", "b", "b"], ["a"]]) == 1.0
    assert math.isnan(krippendorff_alpha([["a", "a"]])) and math.isnan(krippendorff_alpha([["a"], ["b"]]))


def test_shares_over_items_and_pairs() -> None:
    labels = {1: {"x": "a", "y": "a", "z": "b"}, 2: {"x": "a"}, 3: {"y": "b", "x": "a"}}
    assert percent_agreement(labels) == (0.25, 4)
    assert math.isnan(percent_agreement({})[0])
    found = pairwise_kappa(labels)
    assert {names: n for names, (_, n) in found.items()} == {("x", "y"): 2, ("x", "z"): 1, ("y", "z"): 1}
    assert found["x", "y"][0] == pytest.approx(0.0)  # p_o ½, p_e 1·½
