"""RLFT's credit and loss against plain Python, its gradient against an enumerated bandit, and its options."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_batches import Act, Episode, build, episode_lists, per_episode
from reducing import total_loss, with_advantages
from slow_policy_gradient import close, fast, surrogate
from slow_steps import slow_steps

from hone.algorithms.rlft import RLFT


@pytest.mark.parametrize("baseline", ["group", "others", "none"])
@pytest.mark.parametrize(("discount", "beta", "kl"), [(1.0, 0.0, "k1"), (0.9, 0.0, "k1"), (0.5, 0.3, "k3")])
@settings(max_examples=15, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_credit_is_the_return_against_the_same_turn_of_the_group(
    baseline: Any, discount: float, beta: float, kl: Any, specs: list[Episode], shuffle: int
) -> None:
    options = {"beta": beta, "kl": kl, "kl_in": "reward"} if beta else {"beta": 0.0}
    algorithm = RLFT(discount=discount, baseline=baseline, whiten=False, **options)
    advantage, (loss, _), _ = fast(algorithm, specs, shuffle)
    expected = slow_steps(specs, discount, baseline, beta, kl)
    close(advantage, expected)
    kept = [
        surrogate(math.exp(n - o), a, 0.2, 0.2)[0]
        for spec, credit in zip(specs, expected, strict=True)
        if not spec.failed
        for n, o, a in zip(spec.flat("logprob"), spec.flat("old"), credit, strict=True)
    ]
    assert loss == pytest.approx(sum(kept) / max(len(kept), 1), abs=2e-5, rel=2e-4)


@settings(max_examples=15, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_whitening_is_over_all_trained_tokens(specs: list[Episode], shuffle: int) -> None:
    batch = with_advantages(RLFT(beta=0.0), build(specs, shuffle)[0])
    assert batch.advantage is not None
    found = per_episode(batch, batch.advantage, len(specs))
    raw = slow_steps(specs, 1.0, "group")
    kept = [a for spec, credit in zip(specs, raw, strict=True) if not spec.failed for a in credit]
    scale = statistics.pstdev(kept) if kept else 0.0
    if scale < 1e-2:
        return  # rounding only
    mean = statistics.fmean(kept)
    white = [[0.0 if s.failed else (a - mean) / scale for a in credit] for s, credit in zip(specs, raw, strict=True)]
    close(found, white)


@pytest.mark.parametrize("baseline", ["others", "none"])
def test_the_gradient_is_that_of_the_expected_return(baseline: Any) -> None:
    """Two steps, two arms that pay 1 and 0: the mean gradient over all pairs of episodes, by their probabilities."""
    logit = torch.tensor([[0.3, -0.2], [-0.5, 0.8]], requires_grad=True)  # [step, arm]
    logprob = logit.log_softmax(-1)
    chance = logprob.exp().detach()
    expected = torch.autograd.grad(logprob.exp()[:, 0].sum(), logit, retain_graph=True)[0]
    found = torch.zeros_like(logit)
    episodes = list(itertools.product((0, 1), repeat=2))
    for first, second in itertools.product(episodes, repeat=2):
        weight = math.prod(float(chance[step, arm]) for arms in (first, second) for step, arm in enumerate(arms))
        specs = []
        for arms in (first, second):
            played = [[float(logprob[step, arm].detach())] for step, arm in enumerate(arms)]
            acts = [Act(1, [0.0], p, p, p, float(arm == 0), False) for p, arm in zip(played, arms, strict=True)]
            specs.append(Episode(0, acts))
        _, (_, slopes), _ = fast(RLFT(beta=0.0, whiten=False, baseline=baseline), specs, 0)
        for arms, slope in zip((first, second), slopes, strict=True):
            for step, arm in enumerate(arms):
                # the loss is a mean over four tokens, the objective a sum over the two of an episode
                pushed = torch.autograd.grad(logprob[step, arm], logit, retain_graph=True)[0]
                found -= 2 * weight * slope[step] * pushed
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_what_it_needs_and_what_it_adds() -> None:
    assert RLFT().needs == {"old_logprob", "ref_logprob"}
    assert RLFT(beta=0.0, entropy_weight=0.1).needs == {"old_logprob", "entropy"}
    specs = [Episode(0, [Act(0, [0.0], [-1.0], [-1.0], [-1.5], 1.0, False)])]
    batch, logprob = build(specs)
    batch = with_advantages(RLFT(), batch)
    _, named = total_loss(RLFT(), batch, logprob.requires_grad_())
    assert named["kl"] == pytest.approx(math.exp(-0.5) - 1 + 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"discount": 1.1}, "discount"), ({"entropy_weight": -1.0}, "entropy_weight"), ({"beta": -1.0}, "beta")],
)
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RLFT(**options)  # type: ignore[arg-type]
