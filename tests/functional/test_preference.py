"""Preference losses against numbers worked out by hand, and a slow oracle in plain Python."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest
import torch

from hone.functional.preference import (
    Pairs,
    bradley_terry_loss,
    centring,
    group_centred_values,
    in_order,
    logistic_loss,
    preference_loss,
)


def test_bradley_terry_by_hand() -> None:
    gaps = torch.tensor([0.0, 1.0, -1.0, 2.0], dtype=torch.float64)
    expected = [math.log(2), math.log(1 + math.e**-1), math.log(1 + math.e), math.log(1 + math.e**-2)]
    assert bradley_terry_loss(gaps).tolist() == pytest.approx(expected, rel=1e-12)
    assert float(bradley_terry_loss(torch.tensor(2.0), 0.5)) == pytest.approx(math.log(1 + math.e**-1.5))


def test_bradley_terry_of_huge_gaps_is_finite_and_has_the_right_gradient() -> None:
    gap = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = bradley_terry_loss(gap)
    assert loss.tolist() == [0.0, 1e4]
    torch.autograd.backward(loss.sum())
    assert gap.grad is not None
    assert gap.grad.tolist() == [0.0, -1.0]  # −σ(−gap)


def test_thumbs_by_hand() -> None:
    loss = logistic_loss(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 0.0]))
    assert loss.tolist() == pytest.approx([math.log(1 + math.e**-2), math.log(1 + math.e**2)], rel=1e-6)


def test_pairs_of_a_ranking_a_tie_and_a_lone_row() -> None:
    group = torch.tensor([7, 7, 3, 7, 3, 9])
    worth = torch.tensor([1.0, 3.0, 2.0, 3.0, 5.0, 1.0])
    pairs = Pairs.of(group, worth)
    found = {
        (b, w, g) for b, w, g in zip(*(x.tolist() for x in (pairs.better_P, pairs.worse_P, pairs.gap_P)), strict=True)
    }
    assert found == {(1, 0, 2.0), (3, 0, 2.0), (1, 3, 0.0), (4, 2, 3.0)}


def oracle(groups: list[list[tuple[float, float]]], margin: float) -> float:
    """Mean over groups of the mean over pairs, in plain Python, from (score, worth)."""
    means = []
    for rows in groups:
        losses = []
        for (r, y), (s, z) in combinations(rows, 2):
            if y == z:
                losses.append(0.5 * math.log1p(math.exp(s - r)) + 0.5 * math.log1p(math.exp(r - s)))
            else:
                gap = (r - s) if y > z else (s - r)
                losses.append(math.log1p(math.exp(margin * abs(y - z) - gap)))
        means.append(sum(losses) / len(losses))
    return sum(means) / len(means)


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_losses_shared_over_rows_add_up_to_the_pairs(margin: float) -> None:
    draw = random.Random(0)
    groups = [[(draw.gauss(0, 1), float(draw.randrange(3))) for _ in range(k)] for k in (2, 4, 3, 5)]
    flat = [(g, r, y) for g, rows in enumerate(groups) for r, y in rows]
    draw.shuffle(flat)
    ids, score, worth = (torch.tensor(column, dtype=torch.float64) for column in zip(*flat, strict=True))
    pairs = Pairs.of(ids.long(), worth)
    shared_B = pairs.share(preference_loss(pairs, score, margin))
    total = sum(float(shared_B[ids == g].sum()) / math.comb(len(rows), 2) for g, rows in enumerate(groups)) / 4
    assert total == pytest.approx(oracle(groups, margin), rel=1e-12)


def test_order_and_centring_by_hand() -> None:
    pairs = Pairs.of(torch.zeros(3).long(), torch.tensor([2.0, 1.0, 1.0]))  # (0,1) (0,2) and the tie (1,2)
    score = torch.tensor([0.5, -1.0, 0.5])
    assert in_order(pairs, score).tolist() == [1.0, 0.5, 0.5]
    assert centring(pairs, score).tolist() == [0.25, 1.0, 0.25]


def test_values_less_their_groups_mean() -> None:
    found = group_centred_values(torch.tensor([1.0, 5.0, 3.0, 4.0]), torch.tensor([8, 2, 8, 2]))
    assert found.tolist() == [-1.0, 0.5, 1.0, -0.5]
