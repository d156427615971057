"""The policy gradients give TRL's loss, gradient and advantages on the same tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from reducing import total_loss, with_advantages
from torch import Tensor

from hone import CISPO, DAPO, GRPO, GSPO, RLOO, DrGRPO
from hone.algorithms._policy_gradient import PolicyGradient
from hone.core.batch import Batch

trl_peer = pytest.importorskip("trl_peer")

SAMPLES = 3
LENGTHS = torch.tensor([5, 3, 1, 4, 2, 5])
WIDTH = 5
MASK = torch.arange(WIDTH) < LENGTHS[:, None]


def columns(apart: float) -> tuple[Tensor, Tensor, Tensor]:
    """Fresh, old and reference log-probs of the completions [B,5]; ``apart``: how far fresh and old are."""
    generator = torch.Generator().manual_seed(5)
    old = -3 * torch.rand(len(LENGTHS), WIDTH, generator=generator) - 0.1
    fresh = old + apart * torch.randn(old.shape, generator=generator)
    ref = old + 0.4 * torch.randn(old.shape, generator=generator)
    return fresh, old, ref


def batch_of(reward: Tensor, old: Tensor | None, ref: Tensor) -> Batch:
    """One prompt token, then the completion; rows of a group are not neighbours."""
    count = len(LENGTHS)

    def shifted(x: Tensor) -> Tensor:
        return torch.cat([torch.zeros(count, 1, dtype=x.dtype), x], 1)

    last = torch.arange(WIDTH) == LENGTHS[:, None] - 1
    failed = reward.isnan()[:, None]
    mask = shifted(MASK)
    mask[:, 0] = True
    batch = Batch(
        tokens=torch.ones(count, WIDTH + 1, dtype=torch.int64),
        mask=mask,
        sampled=shifted(MASK),
        train=shifted(MASK & ~failed),
        turn=torch.zeros(count, WIDTH + 1, dtype=torch.int64),
        reward=shifted(torch.where(last, reward[:, None], torch.zeros(()))),
        behaviour_logprob=shifted(torch.zeros_like(ref) if old is None else old),
        episode=torch.arange(count),
        step=torch.zeros(count, dtype=torch.int64),
        group=torch.arange(count) // SAMPLES,
        terminated=torch.ones(count, dtype=torch.bool),
        bootstrap=torch.zeros(count),
        old_logprob=None if old is None else shifted(old),
        ref_logprob=shifted(ref),
    )
    return batch.rows(ORDER)


ORDER = torch.tensor([4, 0, 3, 1, 5, 2])
REWARD = torch.tensor([1.0, 0.0, 0.5, 0.0, 0.0, 2.0])


def ours(
    algorithm: PolicyGradient,
    reward: Tensor,
    old: Tensor | None,
    fresh: Tensor,
    ref: Tensor,
    sampler: Tensor | None = None,
) -> tuple[float, Tensor]:
    """Loss, and its gradient with respect to the completions' log-probs, in TRL's order of rows."""
    leaf = fresh.clone().requires_grad_()
    batch = batch_of(reward, old, ref)
    if sampler is not None:
        batch = batch.with_(behaviour_logprob=torch.cat([torch.zeros(len(leaf), 1), sampler], 1)[ORDER])
    batch = with_advantages(algorithm, batch)
    logprob = torch.cat([torch.zeros(len(leaf), 1), leaf], 1)[ORDER]
    loss, _ = total_loss(algorithm, batch, logprob)
    assert leaf.grad is not None
    return loss, leaf.grad


def check_same(ours_: tuple[float, Tensor], theirs: Tensor, leaf: Tensor) -> None:
    theirs.backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert bool(leaf.grad.abs().max() > 1e-3)
    assert ours_[0] == pytest.approx(float(theirs.detach()), abs=1e-6)
    torch.testing.assert_close(ours_[1], leaf.grad, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.04])
@pytest.mark.parametrize("on_policy", [True, False])
@pytest.mark.parametrize(
    ("loss_type", "scale", "options"),
    [
        ("grpo", "group", {}),
        ("bnpo", "group", {"normaliser": "tokens"}),
        ("dapo", "group", {"normaliser": "tokens"}),
        ("dr_grpo", "none", {"normaliser": WIDTH + 3, "advantage": "centred"}),
        ("dapo", "batch", {"normaliser": "tokens", "advantage": "batch_std"}),
    ],
)
def test_grpo(beta: float, on_policy: bool, loss_type: str, scale: str, options: dict[str, object]) -> None:
    fresh, old, ref = columns(0.3)
    advantage = trl_peer.advantages(
        "grpo", REWARD, SAMPLES, scale_rewards=scale, old_logprob=old, ref_logprob=ref, mask=MASK
    )
    leaf = fresh.clone().requires_grad_()
    given = None if on_policy else old
    theirs = trl_peer.grpo_loss(leaf, given, ref, advantage, MASK, beta, loss_type)
    algorithm = GRPO(clip_high=0.28, beta=beta, **options)  # type: ignore[arg-type]
    check_same(ours(algorithm, REWARD, given, fresh, ref), theirs, leaf)


MEMBERS: list[tuple[PolicyGradient, str, str, dict[str, object]]] = [
    (DAPO(), "dapo", "group", {}),
    (DAPO(beta=0.04), "dapo", "group", {}),
    (DrGRPO(length=WIDTH + 3, clip_high=0.28), "dr_grpo", "none", {}),
    (
        GSPO(clip_low=0.1, clip_high=0.15),
        "grpo",
        "group",
        {"importance_sampling_level": "sequence", "epsilon_low": 0.1, "epsilon_high": 0.15},
    ),
    (GSPO(), "grpo", "group", {"importance_sampling_level": "sequence", "epsilon_low": 3e-4, "epsilon_high": 4e-4}),
    (CISPO(clip_high=0.4), "cispo", "group", {"epsilon_high": 1.4}),
    (CISPO(clip_high=0.4, beta=0.1), "cispo", "group", {"epsilon_high": 1.4}),
    (GRPO(clip_high=0.28, dual_clip=1.5), "grpo", "group", {"delta": 1.5}),
    (DAPO(dual_clip=1.5), "dapo", "group", {"delta": 1.5}),
]


@pytest.mark.parametrize(("algorithm", "loss_type", "scale", "settings"), MEMBERS)
@pytest.mark.parametrize("apart", [0.1, 0.7])
@pytest.mark.parametrize("correction", ["none", "truncate", "mask"])
def test_the_family(
    algorithm: PolicyGradient, loss_type: str, scale: str, settings: dict[str, object], apart: float, correction: str
) -> None:
    fresh, old, ref = columns(apart)
    sampler = old + 0.5 * torch.randn(old.shape, generator=torch.Generator().manual_seed(2))
    advantage = trl_peer.advantages(
        "grpo", REWARD, SAMPLES, scale_rewards=scale, old_logprob=old, ref_logprob=ref, mask=MASK
    )
    weight = None
    if correction != "none":
        if algorithm.level != "token":
            pytest.skip("TRL weighs sequences by the product of their ratios, GSPO by the geometric mean")
        mode, low, high = ("token_truncate", None, 1.2) if correction == "truncate" else ("token_mask", 0.7, 1.3)
        weight = trl_peer.sampler_weights(old, sampler, MASK, mode, low, high)
        assert bool((weight[MASK] == (1.2 if correction == "truncate" else 0.0)).any())
        more: Any = {"tis": 1.2} if correction == "truncate" else {"mis": (0.7, 1.3)}
        algorithm = replace(algorithm, **more)
    leaf = fresh.clone().requires_grad_()
    theirs = trl_peer.grpo_loss(leaf, old, ref, advantage, MASK, algorithm.beta, loss_type, weight, **settings)
    check_same(ours(algorithm, REWARD, old, fresh, ref, sampler), theirs, leaf)


@pytest.mark.parametrize(
    ("mode", "low", "high", "algorithm"),
    [("sequence_truncate", None, 1.5, RLOO(tis=1.5)), ("sequence_mask", 0.5, 2.0, RLOO(mis=(0.5, 2.0)))],
)
def test_a_sequence_is_weighed_as_a_whole(mode: str, low: float | None, high: float, algorithm: RLOO) -> None:
    """RLOO's correction is TRL's for whole sequences: exactly on-policy the gradient is the weighted advantage."""
    fresh, _, ref = columns(0.0)
    sampler = fresh + 0.4 * torch.randn(fresh.shape, generator=torch.Generator().manual_seed(4))
    weight = trl_peer.sampler_weights(fresh, sampler, MASK, mode, low, high).squeeze(1)
    assert len(set(weight.tolist())) > 2
    _, gradient = ours(algorithm, REWARD, fresh, fresh, ref, sampler)
    advantage = trl_peer.advantages("rloo", REWARD, SAMPLES, old_logprob=fresh, ref_logprob=ref, mask=MASK)
    expected = torch.where(MASK, -(weight * advantage / len(REWARD))[:, None], torch.zeros(()))
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.05])
@pytest.mark.parametrize("apart", [0.0, 0.1])
def test_rloo(beta: float, apart: float) -> None:
    fresh, old, ref = columns(apart)
    advantage = trl_peer.advantages("rloo", REWARD, SAMPLES, beta=beta, old_logprob=old, ref_logprob=ref, mask=MASK)
    leaf = fresh.clone().requires_grad_()
    theirs = trl_peer.rloo_loss(leaf, old, advantage, MASK)
    check_same(ours(RLOO(clip_high=0.28, beta=beta), REWARD, old, fresh, ref), theirs, leaf)


@pytest.mark.parametrize(
    ("kind", "algorithm", "more"),
    [
        ("grpo", GRPO(), {}),
        ("grpo", GRPO(advantage="centred"), {"scale_rewards": "none"}),
        ("grpo", GRPO(advantage="batch_std"), {"scale_rewards": "batch"}),
        ("rloo", RLOO(), {}),
        ("rloo", RLOO(beta=0.05), {"beta": 0.05}),
    ],
)
@pytest.mark.parametrize(
    "reward", [[1.0, float("nan"), 0.0, 0.0, 0.0, 0.0], [float("nan"), 1.0, float("nan"), 0.25, 0.5, -1.0]]
)
def test_advantages_with_failed_rewards(
    kind: str, algorithm: PolicyGradient, more: dict[str, float], reward: list[float]
) -> None:
    _, old, ref = columns(0.0)
    given = torch.tensor(reward)
    expected = trl_peer.advantages(kind, given, SAMPLES, old_logprob=old, ref_logprob=ref, mask=MASK, **more)
    batch = with_advantages(algorithm, batch_of(given, old, ref))
    expected_BT = torch.where(batch.train, expected[ORDER][:, None], torch.zeros(()))
    torch.testing.assert_close(batch.advantage, expected_BT, atol=1e-6, rtol=1e-5)
