"""Micro-batches, empty batches, sliding windows: what may be done to rows without changing a number."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_batches import Act, Episode, build, episode_lists
from reducing import total_loss, with_advantages
from torch import Tensor

from hone import A2C, CISPO, DAPO, GRPO, GSPO, PPO, REINFORCE, RLOO, DrGRPO
from hone.algorithms.base import Algorithm
from hone.algorithms.nll import NLL
from hone.core.types import Completion, Scored, Trajectory, Turn
from hone.rollout.rows import to_batch


@pytest.mark.parametrize(
    "algorithm",
    [
        GRPO(),
        GRPO(beta=0.1, normaliser="tokens"),
        GRPO(normaliser=4),
        RLOO(),
        RLOO(beta=0.1),
        RLOO(tis=1.5),
        DAPO(mis=(0.5, 2.0)),
        DrGRPO(length=4, tis=1.5),
        GSPO(clip_low=0.1, clip_high=0.2, tis=1.5),
        CISPO(),
        REINFORCE(beta=0.1),
        NLL(),
        PPO(),
        PPO(clock="turn"),
        PPO(beta=0.1, whiten_rewards=True, missing_end=-1.0),
        A2C(alpha=0.2, beta=0.1),
    ],
    ids=str,
)
@settings(max_examples=8, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_micro_batches_give_the_gradient_of_the_whole(algorithm: Algorithm, specs: list[Episode], shuffle: int) -> None:
    batch, logprob = build(specs, shuffle)
    batch = batch.with_(behaviour_logprob=batch.need("ref_logprob") * batch.sampled)  # so that tis and mis have work
    batch = with_advantages(algorithm, batch.with_(truncated=batch.step == 0))
    rows = list(range(len(batch)))
    groups = [[b for b in rows if int(batch.group[b]) == g] for g in sorted(set(batch.group.tolist()))]
    units = groups if algorithm.unit == "group" else [[b] for b in rows]
    gradients: list[tuple[float, Tensor, Tensor | None]] = []
    for size in (1, 3, len(units) or 1):
        parts = [[row for unit in units[i : i + size] for row in unit] for i in range(0, len(units), size)]
        assert batch.value is not None
        leaf, value = logprob.clone().requires_grad_(), (batch.value + 0.3).requires_grad_()
        loss, _ = total_loss(algorithm, batch, leaf, value, parts or [[]])
        assert leaf.grad is not None
        gradients.append((loss, leaf.grad, value.grad))
    whole = gradients[-1]
    for loss, slope, value_slope in gradients[:-1]:
        assert loss == pytest.approx(whole[0], abs=1e-6, rel=1e-6)
        assert torch.allclose(slope, whole[1], atol=1e-6, rtol=0)
        assert (value_slope is None) == (whole[2] is None)
        if value_slope is not None and whole[2] is not None:
            assert torch.allclose(value_slope, whole[2], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "algorithm",
    [GRPO(beta=0.1), RLOO(), DAPO(), DrGRPO(length=9), GSPO(tis=2.0), CISPO(), REINFORCE(), NLL(), PPO(), A2C()],
    ids=str,
)
@pytest.mark.parametrize("failed", [0, 2])
def test_law_4_nothing_to_train_is_zero_loss_with_a_graph(algorithm: Algorithm, failed: int) -> None:
    act = Act(1, [0.5, 1.0], [-1.0, -2.0], [-1.0, -2.5], [-1.5, -2.0], 1.0, False)
    batch, logprob = build([Episode(0, [act, act], failed=True)] * failed)
    batch = with_advantages(algorithm, batch)
    leaf, value = logprob.clone().requires_grad_(), logprob.clone().requires_grad_()
    loss, named = total_loss(algorithm, batch, leaf, value)
    assert loss == 0.0
    assert set(named.values()) == {0.0}
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, torch.zeros_like(leaf))


def sliding(reward: list[float], group: int) -> Trajectory:
    """Three turns of two tokens; the third one's context has forgotten the first turn: a new row."""
    turns = []
    for number, worth in enumerate(reward):
        context = (3, 3, 3) if number == 2 else (3,)
        answer = Completion((5, 6), (-1.0 - number, -0.5), "end")
        turns.append(Turn(context, answer, "", Scored(worth), restart=number == 2))
    return Trajectory(0, group, 0, tuple(turns))


def test_an_episode_in_sliding_windows_shares_one_advantage_and_one_ratio() -> None:
    batch = to_batch([sliding([0.0, 0.5, 1.0], 4), sliding([0.0, 0.0, 0.5], 4)], pad_id=0)
    assert len(batch) == 4
    # summed rewards 1.5 and .5: centred ±.5, leave-one-out ±1, the same on both rows of an episode
    # (z-score: ±.5 / (√.5 + 1e-4); REINFORCE's other episodes are here the group's)
    z = 0.5 / (0.5**0.5 + 1e-4)
    alone: list[tuple[Algorithm, float]] = [(RLOO(), 1.0), (REINFORCE(), 1.0), (GSPO(), z), (CISPO(), z), (DAPO(), z)]
    for algorithm, expected in ((GRPO(advantage="centred"), 0.5), (DrGRPO(length=9), 0.5), *alone):
        credited = with_advantages(algorithm, batch)
        assert credited.advantage is not None
        signs = torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None]
        assert torch.allclose(credited.advantage, expected * signs * batch.sampled)
    # one token of each row moves by .1, so the ratio of the whole episode is e^.2: the clip stops the first
    logprob = batch.behaviour_logprob.clone()
    moved = (batch.tokens == 5) & ((batch.turn == 0) | (batch.turn == 2))
    leaf = (logprob + 0.1 * moved).requires_grad_()
    credited = with_advantages(RLOO(), batch.with_(old_logprob=logprob))
    loss, named = total_loss(RLOO(), credited, leaf)
    assert loss == pytest.approx((-1.2 + math.exp(0.2)) / 2, abs=1e-6)
    assert named["clip_fraction"] == pytest.approx(0.5)
    assert leaf.grad is not None
    assert leaf.grad[:2].eq(0).all()
    assert leaf.grad[2:][batch.train[2:]].tolist() == pytest.approx([math.exp(0.2) / 2] * 6)


def test_ppo_on_sliding_windows_by_hand() -> None:
    batch = to_batch([sliding([0.0, 0.5, 1.0], 4)], pad_id=0)
    batch = batch.with_(value=0.25 * batch.sampled + 50.0 * ~batch.sampled, old_logprob=batch.behaviour_logprob)
    # γ = λ = 1: the advantage is reward-to-go − .25, on tokens: 1.25 ×4, .75 ×2; mean 13/12
    credited = with_advantages(PPO(trace=1.0), batch)
    assert credited.advantage is not None
    raw = [1.25, 1.25, 1.25, 1.25, 0.75, 0.75]
    white = [(a - statistics.mean(raw)) / statistics.pstdev(raw) for a in raw]
    assert credited.advantage[batch.sampled].tolist() == pytest.approx(white, abs=1e-5)
    # the value is raised by .1, inside its clip: ½·mean((.35 − G)²) with G = 1.5 ×4, 1 ×2
    leaf = batch.behaviour_logprob.clone().requires_grad_()
    _, named = total_loss(PPO(trace=1.0), credited, leaf, torch.full_like(leaf, 0.35).requires_grad_())
    assert named["policy"] == pytest.approx(0.0, abs=1e-6)
    assert named["value"] == pytest.approx((4 * 1.15**2 + 2 * 0.65**2) / 12)
