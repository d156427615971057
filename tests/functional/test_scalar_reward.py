"""Comparisons become one normalised number per answer."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.optimize import brentq

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Rating
from hone.functional.scalar_reward import gain_and_bias, scalar_rewards


def pair(prompt: str, chosen: str, rejected: str, tie: bool = False) -> Comparison:
    return Comparison(prompt, Answer(chosen, "m1"), Answer(rejected, "m2"), tie)


def by_answer(ratings: list[Rating]) -> dict[tuple[str, str], float]:
    return {(str(r.prompt), str(r.answer.text)): r.value for r in ratings}


def test_two_prompts_by_hand() -> None:
    # One win: difference d with σ(−d) = d/2 under a standard normal prior on both (θ = ±d/2).
    one = brentq(lambda d: 1 / (1 + np.exp(d)) - d / 2, 0, 5)
    two = brentq(lambda d: 2 / (1 + np.exp(d)) - d / 2, 0, 5)
    comparisons = [pair("p", "good", "bad"), pair("q", "good", "bad"), pair("q", "good", "bad")]
    data = by_answer(scalar_rewards(comparisons))
    spread = np.std([one / 2, -one / 2, two / 2, -two / 2])
    assert data["p", "good"] == pytest.approx(one / 2 / spread)
    assert data["q", "bad"] == pytest.approx(-two / 2 / spread)
    prompt = by_answer(scalar_rewards(comparisons, scale="prompt"))
    assert prompt == pytest.approx({("p", "good"): 1.0, ("p", "bad"): -1.0, ("q", "good"): 1.0, ("q", "bad"): -1.0})


def test_provenance_order_and_ties() -> None:
    ratings = scalar_rewards([pair("p", "x", "y", tie=True), pair("q", "u", "v")])
    assert [(r.prompt, r.answer.text, r.answer.model) for r in ratings] == [
        ("p", "x", "m1"),
        ("p", "y", "m2"),
        ("q", "u", "m1"),
        ("q", "v", "m2"),
    ]
    assert [r.value for r in ratings[:2]] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert ratings[2].value == pytest.approx(-ratings[3].value) and ratings[2].value > 0
    assert scalar_rewards([]) == []


@pytest.mark.parametrize("method", ["bradley_terry", "elo"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_utilities_are_recovered(method: str, seed: int) -> None:
    rng = random.Random(seed)
    planted: dict[tuple[str, str], float] = {}
    comparisons = []
    for p in range(20):
        utility = {f"answer {k}": rng.gauss(0, 1) for k in range(5)}
        mean = sum(utility.values()) / 5
        planted |= {(f"prompt {p}", text): u - mean for text, u in utility.items()}
        for _ in range(150):
            a, b = rng.sample(sorted(utility), 2)
            won = rng.random() < 1 / (1 + np.exp(utility[b] - utility[a]))
            comparisons.append(pair(f"prompt {p}", a if won else b, b if won else a))
    found = by_answer(scalar_rewards(comparisons, method=method))  # type: ignore[arg-type]
    x, y = np.array([planted[k] for k in found]), np.array(list(found.values()))
    assert np.corrcoef(x, y)[0, 1] > 0.95
    assert (y.mean(), y.std()) == (pytest.approx(0.0, abs=1e-9), pytest.approx(1.0))


def test_gain_and_bias_by_hand() -> None:
    gain, bias = gain_and_bias([1.0, 3.0], mean=10.0, std=2.0)
    assert (gain, bias) == (2.0, 6.0)  # σ = 1, μ = 2: 2·1 + 6 = 8 and 12
    assert gain_and_bias([4.0, 4.0]) == (1.0, -4.0)
    assert gain_and_bias([]) == (1.0, 0.0)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(HoneError, match="unknown way"):
        scalar_rewards([], method="glicko")  # type: ignore[arg-type]
