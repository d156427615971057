"""Every algorithm's advantages, loss and gradient against plain Python on random episodes.

The episodes have several turns, may be split over rows, may have failed, and there may be none at all.
"""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_batches import Episode, build, episode_lists, per_episode
from reducing import total_loss, with_advantages
from slow_credit import slow_credit
from slow_policy_gradient import Facts, close, credit_of, fast, outcomes, slow_member, surrogate

from hone import CISPO, DAPO, GRPO, GSPO, PPO, REINFORCE, RLOO, DrGRPO
from hone.algorithms._policy_gradient import PolicyGradient
from hone.algorithms.nll import NLL


def facts_of(algorithm: PolicyGradient) -> Facts:
    """What each member is meant to be, from its paper."""
    if isinstance(algorithm, GRPO):
        return Facts(algorithm.advantage, "token", algorithm.normaliser)
    if isinstance(algorithm, REINFORCE):
        credit = {"centred": "all alone", "zscore": "all zscore"}[algorithm.advantage]
        return Facts(credit, "token", "tokens" if algorithm.normaliser == "tokens" else 1)
    if isinstance(algorithm, DrGRPO):
        return Facts("centred", "token", algorithm.length)
    return {
        RLOO: Facts("alone", "product", "sequences"),
        DAPO: Facts("zscore", "token", "tokens"),
        GSPO: Facts("zscore", "geometric", "sequences"),
        CISPO: Facts("zscore", "token", "tokens", weighs=True),
    }[type(algorithm)]


@pytest.mark.parametrize(
    "algorithm",
    [
        GRPO(),
        GRPO(advantage="centred", normaliser="tokens", clip_low=0.05, clip_high=0.4),
        GRPO(advantage="centred", normaliser=7),
        GRPO(advantage="batch_std", normaliser="tokens", dual_clip=1.5),
        GRPO(beta=0.3),
        GRPO(beta=0.3, kl="k1", normaliser="tokens", tis=1.3),
        GRPO(beta=0.3, kl="k2", normaliser=2, mis=(0.6, 1.8)),
        GRPO(beta=0.3, kl="k1", kl_in="reward", advantage="centred"),
        GRPO(beta=0.3, kl="k3", kl_in="reward", advantage="centred"),
        RLOO(),
        RLOO(clip_low=0.1, clip_high=0.6, beta=0.2, dual_clip=1.61),
        RLOO(tis=2.0, beta=0.1, kl="k2", kl_in="loss"),
        RLOO(mis=(0.5, 2.0)),
        DAPO(),
        DAPO(beta=0.2, dual_clip=1.5, tis=0.9),
        DrGRPO(length=5),
        DrGRPO(length=2, mis=(0.9, 1.2), clip_high=0.05),
        GSPO(),
        GSPO(clip_low=0.16, clip_high=0.22, dual_clip=1.3),
        GSPO(clip_low=0.3, clip_high=0.4, beta=0.2, tis=1.1),
        GSPO(clip_low=0.3, clip_high=0.4, mis=(0.7, 1.4)),
        CISPO(),
        CISPO(clip_low=0.3, clip_high=0.4, tis=1.5),
        CISPO(clip_high=0.05, beta=0.1, mis=(0.5, 2.0)),
        REINFORCE(),
        REINFORCE(advantage="zscore", normaliser="tokens", beta=0.1),
        REINFORCE(beta=0.1, kl="k3", kl_in="loss", dual_clip=1.5, tis=2.0),
    ],
    ids=str,
)
@settings(max_examples=15, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_policy_gradients(algorithm: PolicyGradient, specs: list[Episode], shuffle: int) -> None:
    facts = facts_of(algorithm)
    in_reward = algorithm.beta if algorithm.kl_in == "reward" else 0.0
    sampler = "ref" if algorithm.tis or algorithm.mis else "old"
    credit = credit_of(specs, outcomes(specs, in_reward, algorithm.kl), facts.credit)
    advantage, (loss, slopes), named = fast(algorithm, specs, shuffle, sampler)
    live = [0.0 if s.failed else a for s, a in zip(specs, credit, strict=True)]
    close(advantage, [[a] * len(s.flat("old")) for s, a in zip(specs, live, strict=True)])
    expected_loss, expected_slopes, stopped = slow_member(algorithm, facts, specs, live, sampler)
    assert loss == pytest.approx(expected_loss, abs=2e-5, rel=2e-4)
    close(slopes, expected_slopes)
    signs = [(a > 0) - (a < 0) == (row[0] > 0) - (row[0] < 0) for a, row in zip(live, advantage, strict=True)]
    if all(signs):  # an advantage that is 0 but for rounding may be clipped on one side and not on the other
        assert named["clip_fraction"] == pytest.approx(stopped, abs=1e-6)
    assert ("sampler_weight" in named) == (sampler == "ref")
    if facts.ratio == "token":
        alive = [s for s in specs if not s.failed]
        ratios = [math.exp(n - o) for s in alive for n, o in zip(s.flat("logprob"), s.flat("old"), strict=True)]
        assert named["ratio"] == pytest.approx(sum(ratios) / max(len(ratios), 1), rel=1e-5)


@settings(max_examples=15, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_nll(specs: list[Episode], shuffle: int) -> None:
    advantage, (loss, slopes), _ = fast(NLL(), specs, shuffle)
    assert not any(a for row in advantage for a in row)
    kept = [p for s in specs if not s.failed for p in s.flat("logprob")]
    assert loss == pytest.approx(-sum(kept) / max(len(kept), 1), abs=1e-5)
    close(slopes, [[0.0 if s.failed else -1 / len(kept)] * len(s.flat("old")) for s in specs])


@pytest.mark.parametrize("clock", ["token", "turn"])
@settings(max_examples=20, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99), data=st.data())
def test_ppo(clock: str, specs: list[Episode], shuffle: int, data: st.DataObject) -> None:
    algorithm = PPO(discount=0.9, trace=0.8, clock=clock)  # type: ignore[arg-type]
    batch, logprob = build(specs, shuffle)
    batch = with_advantages(algorithm, batch)
    shift = data.draw(st.sampled_from([-0.7, 0.07, 0.7]))
    assert batch.value is not None and batch.advantage is not None
    leaf, value = logprob.clone().requires_grad_(), (batch.value + shift).requires_grad_()
    loss, named = total_loss(algorithm, batch, leaf, value)

    raw, targets, olds, news, values = (list[float]() for _ in range(5))
    for spec in specs:
        if spec.failed:
            continue
        advantage, target, _ = slow_credit(spec, [0.0] * len(spec.flat("old")), 0.9, 0.8, algorithm.clock)
        raw, targets = raw + advantage, targets + target
        olds, news, values = olds + spec.flat("old"), news + spec.flat("logprob"), values + spec.flat("value")
    count = max(len(raw), 1)
    mean = sum(raw) / count
    scale = math.sqrt(statistics.pvariance(raw) + 1e-8) if raw else 1.0
    white = [(a - mean) / scale for a in raw]
    found = [
        a
        for s, row in zip(specs, per_episode(batch, batch.advantage, len(specs)), strict=True)
        if not s.failed
        for a in row
    ]
    assert found == pytest.approx(white, abs=1e-2 if scale < 1e-2 else 1e-4)
    if scale < 1e-2:
        return  # whitening what is only rounding: nothing to compare
    policy = sum(surrogate(math.exp(n - o), a, 0.2, 0.2)[0] for n, o, a in zip(news, olds, white, strict=True)) / count
    clipped = max(-0.2, min(0.2, shift))
    critic = (
        sum(max((v + shift - g) ** 2, (v + clipped - g) ** 2) / 2 for v, g in zip(values, targets, strict=True)) / count
    )
    assert named["policy"] == pytest.approx(policy, abs=1e-4)
    assert named["value"] == pytest.approx(critic, abs=1e-4)
    assert loss == pytest.approx(policy + 0.1 * critic, abs=1e-4)
