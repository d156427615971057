"""Draws against the exact distribution, spelt out token by token."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from hone.core.errors import HoneError
from hone.core.seeding import uniforms
from hone.engines.base import Sampling
from hone.engines.sampling import draw, inverse_cdf, truncate

LOGITS = [1.2, -0.3, 0.4, 2.0, -1.5, 0.0, 0.9, -4.0, 1.1, 0.3, -0.7]


def exact(logits: list[float], sampling: Sampling) -> list[float]:
    """The distribution by plain arithmetic: temperature, the k likeliest, the fewest that reach p."""
    weights = [math.exp(x / sampling.temperature) for x in logits]
    order = sorted(range(len(weights)), key=lambda i: -weights[i])
    kept = order[: sampling.top_k or len(order)]
    mass, chosen = sum(weights[i] for i in kept), []
    for i in kept:
        chosen.append(i)
        if sum(weights[j] for j in chosen) / mass >= sampling.top_p:
            break
    total = sum(weights[i] for i in chosen)
    return [weights[i] / total if i in chosen else 0.0 for i in range(len(weights))]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.6),
        Sampling(temperature=2.5),
        Sampling(top_k=4),
        Sampling(top_p=0.7),
        Sampling(temperature=1.4, top_k=6, top_p=0.8),
        Sampling(top_k=50),
        Sampling(top_k=1),
    ],
)
def test_frequencies_and_logprobs_are_those_of_the_exact_distribution(sampling: Sampling) -> None:
    count = 40_000
    uniform = uniforms(np.arange(count, dtype=np.uint64), np.full(count, 3, dtype=np.uint64))
    token, logprob = draw(torch.tensor([LOGITS]).expand(count, -1), sampling, torch.from_numpy(uniform))
    expected = np.array(exact(LOGITS, sampling))
    observed = np.bincount(token.numpy(), minlength=len(LOGITS))
    assert observed[expected == 0].sum() == 0
    support = expected > 0
    if support.sum() > 1:
        assert chisquare(observed[support], expected[support] * count).pvalue > 1e-3
    assert logprob.numpy() == pytest.approx(np.log(expected[token.numpy()]), abs=1e-5)


def test_greedy_takes_the_argmax_with_its_logprob_at_temperature_one() -> None:
    token, logprob = draw(torch.tensor([LOGITS]), Sampling(temperature=0, top_k=2), torch.tensor([0.99]).double())
    assert token.tolist() == [3]
    assert logprob.tolist() == pytest.approx([math.log(exact(LOGITS, Sampling())[3])], abs=1e-6)


@pytest.mark.parametrize("vocabulary", [1, 2, 7, 64, 100, 1000, 2048])
def test_the_two_levels_equal_one_cumulative_sum(vocabulary: int) -> None:
    draw_from = np.random.default_rng(vocabulary)
    logits = torch.from_numpy(draw_from.normal(0, 2, (500, vocabulary)).astype(np.float32))
    uniform = draw_from.random(500)
    token, logprob = inverse_cdf(logits, torch.from_numpy(uniform))
    probability = np.exp(logits.double().log_softmax(-1).numpy())
    cdf = probability.cumsum(-1)
    at = token.numpy()[:, None]
    upper = np.take_along_axis(cdf, at, 1)[:, 0]
    lower = upper - np.take_along_axis(probability, at, 1)[:, 0]
    assert np.all(uniform <= upper + 1e-6) and np.all(uniform >= lower - 1e-6)
    assert logprob.numpy() == pytest.approx(np.log(upper - lower), abs=1e-4)


@pytest.mark.parametrize("uniform", [0.0, 1e-300, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("vocabulary", [3, 9, 40, 1003])
def test_tokens_of_probability_zero_are_never_drawn(uniform: float, vocabulary: int) -> None:
    draw_from = np.random.default_rng(vocabulary)
    logits = torch.full((300, vocabulary), -math.inf)
    for row in logits:
        alive = draw_from.choice(vocabulary, size=draw_from.integers(1, 4), replace=False)
        row[torch.from_numpy(alive)] = torch.from_numpy(draw_from.normal(0, 30, len(alive)).astype(np.float32))
    token, logprob = inverse_cdf(logits, torch.full((300,), uniform, dtype=torch.float64))
    assert bool(torch.isfinite(logits.gather(1, token[:, None])).all())
    assert bool(torch.isfinite(logprob).all())


def test_a_uniform_of_zero_takes_the_first_possible_token_and_of_nearly_one_the_last() -> None:
    logits = torch.tensor([[-math.inf, 0.0, 0.0, 0.0, -math.inf]]).expand(2, -1)
    token, _ = inverse_cdf(logits, torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64))
    assert token.tolist() == [1, 3]


def test_truncation_keeps_exactly_k_of_equal_tokens() -> None:
    kept = torch.isfinite(truncate(torch.zeros(1, 6), 2, 1.0))
    assert int(kept.sum()) == 2
    assert truncate(torch.tensor([LOGITS]), 0, 0.05)[0].isfinite().nonzero().tolist() == [[3]]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_refused(value: float, temperature: float) -> None:
    with pytest.raises(HoneError, match="not finite"):
        draw(torch.tensor([[0.0, value]]), Sampling(temperature=temperature), torch.tensor([0.5]).double())
