"""The algorithms of reward models through their terms: values by hand, denominators over the whole batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from hone.algorithms.base import Algorithm, State
from hone.algorithms.preference import Preference
from hone.algorithms.regression import Regression
from hone.algorithms.thumbs import Thumbs
from hone.core.batch import Batch
from hone.core.terms import GroupPairs
from hone.data.rows import Row, pad_examples
from hone.models.score import Scores


def batch(*examples: Sequence[float]) -> Batch:
    """Rows of one to three tokens with these worths, only the last of them in the loss."""
    made = [
        tuple(Row((5,) * (1 + i), (False,) * i + (True,), worth) for i, worth in enumerate(worths))
        for worths in examples
    ]
    return pad_examples(made, 0)


def loss(algorithm: Algorithm, rows: Batch, score: Sequence[float]) -> dict[str, float]:
    scores = Scores(torch.zeros(rows.tokens.shape), row_score=torch.tensor(score))
    found = algorithm.loss(rows, scores, State())
    return {name: float(term.reduce(term.normaliser.weights(rows))) for name, term in found.items()}


def lose(gap: float) -> float:
    return math.log1p(math.exp(-gap))


def test_a_ranking_counts_as_much_as_a_comparison() -> None:
    rows = batch([1.0, 0.0], [-1.0, -2.0, -3.0])
    found = loss(Preference(), rows, [0.5, 0.0, 2.0, 1.0, -1.0])
    ranking = (lose(1.0) + lose(3.0) + lose(2.0)) / 3
    assert found["preference"] == pytest.approx((lose(0.5) + ranking) / 2)
    assert found["pair_accuracy"] == 1.0
    assert found["score_gap"] == pytest.approx((0.5 + 2.0) / 2)


def test_a_tie_pulls_scores_together_whoever_stands_first() -> None:
    for score in ([2.0, 0.0], [0.0, 2.0]):
        assert loss(Preference(), batch([0.0, 0.0]), score)["preference"] == pytest.approx((lose(2) + lose(-2)) / 2)


def test_margin_and_centring() -> None:
    found = loss(Preference(margin=0.5, centre=0.01), batch([3.0, 1.0]), [1.0, 2.0])
    assert found["preference"] == pytest.approx(lose(-1.0 - 0.5 * 2.0))
    assert found["centring"] == pytest.approx(9.0)


def test_thumbs_and_regression_are_means_over_answers() -> None:
    rows = batch([1.0], [0.0, 1.0])
    found = loss(Thumbs(), rows, [2.0, -1.0, -3.0])
    assert found["thumbs"] == pytest.approx((lose(2.0) + lose(1.0) + lose(-3.0)) / 3)
    assert found["thumb_accuracy"] == pytest.approx(2 / 3)
    assert loss(Regression(), rows, [2.0, -1.0, -3.0])["squared_error"] == pytest.approx((1 + 1 + 16) / 3)
    centred = loss(Regression(per_prompt=True), rows, [2.0, -1.0, -3.0])  # errors 1 | −1, −4 less −2.5
    assert centred["squared_error"] == pytest.approx((0 + 2.25 + 2.25) / 3)


def test_weights_stand_on_the_last_token_of_rows_that_have_a_pair() -> None:
    rows = batch([1.0, 0.0], [5.0], [3.0, 2.0, 1.0])
    weight = GroupPairs().weights(rows)
    assert weight.sum(-1).tolist() == pytest.approx([1 / 2, 1 / 2, 0, 1 / 6, 1 / 6, 1 / 6])
    assert weight[rows.train].tolist() == pytest.approx(weight.sum(-1).tolist())


def test_negative_options_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Preference(margin=-1)
