"""What the members of the family have in common, and policies small enough to sum over everything they may sample."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from random_batches import Episode, build, episode_lists
from reducing import total_loss, with_advantages
from torch import Tensor

from hone import CISPO, DAPO, GRPO, GSPO, REINFORCE, RLOO, DrGRPO
from hone.algorithms._policy_gradient import PolicyGradient
from hone.core.batch import Batch
from hone.functional.losses import clipped_surrogate

REWARD_QV = torch.tensor([[1.0, 0.0, 0.25], [3.0, 2.0, 2.0]])
LOGITS = (0.3, -0.4, 0.9)


def one_token_each(question_B: Sequence[int], answer_B: Sequence[int]) -> Batch:
    """Episodes of one token; the answer's reward depends on the question."""
    count = len(answer_B)
    column = torch.zeros(count, 2)
    column[:, 1] = REWARD_QV[list(question_B), list(answer_B)]
    here = torch.tensor([[False, True]]).expand(count, 2)
    number = torch.arange(count)
    return Batch(
        tokens=torch.stack([torch.zeros(count, dtype=torch.int64), torch.tensor(answer_B)], 1),
        mask=torch.ones(count, 2, dtype=torch.bool),
        sampled=here,
        train=here,
        turn=torch.zeros(count, 2, dtype=torch.int64),
        reward=column,
        behaviour_logprob=torch.zeros(count, 2),
        episode=number,
        step=torch.zeros_like(number),
        group=torch.tensor(question_B),
        terminated=torch.ones(count, dtype=torch.bool),
        bootstrap=torch.zeros(count),
    )


def expected_gradient(algorithm: PolicyGradient, question_B: Sequence[int]) -> Tensor:
    """The gradient of the loss with respect to the logits [V], summed over every batch that might be sampled."""
    total = torch.zeros(3)
    for answers in itertools.product(range(3), repeat=len(question_B)):
        logits = torch.tensor(LOGITS, requires_grad=True)
        logprob_B = logits.log_softmax(-1)[list(answers)]
        chance = float(logprob_B.detach().sum().exp())
        batch = with_advantages(algorithm, one_token_each(question_B, answers))
        total_loss(algorithm, batch, torch.stack([torch.zeros_like(logprob_B), logprob_B], 1))
        assert logits.grad is not None
        total += chance * logits.grad
    return total


def true_gradient(question_B: Sequence[int]) -> Tensor:
    """``−∇ E[reward]``, the questions weighing alike, from the exact expectation."""
    logits = torch.tensor(LOGITS, requires_grad=True)
    (-(REWARD_QV[list(question_B)].mean(0) * logits.softmax(-1)).sum()).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return logits.grad


@pytest.mark.parametrize(
    ("algorithm", "question_B", "share"),
    [
        (REINFORCE(), (0, 0, 0), 1.0),
        (REINFORCE(), (0, 1, 1), 1.0),
        (REINFORCE(), (0, 1, 0, 1), 1.0),
        (RLOO(), (0, 0, 0), 1.0),
        (RLOO(), (0, 0, 1, 1), 1.0),
        # the own reward in the baseline takes 1/G of the gradient away, and nothing else
        (DrGRPO(length=1), (0, 0, 0), 2 / 3),
        (GRPO(advantage="centred", normaliser=1), (0, 0, 1, 1), 1 / 2),
    ],
)
def test_the_baseline_leaves_the_gradient_unbiased(
    algorithm: PolicyGradient, question_B: tuple[int, ...], share: float
) -> None:
    torch.testing.assert_close(
        expected_gradient(algorithm, question_B), share * true_gradient(question_B), atol=1e-6, rtol=1e-5
    )


def test_dividing_by_the_deviation_turns_the_gradient() -> None:
    """The z-score's expected gradient has another direction where the questions' rewards spread differently."""
    found, true = expected_gradient(GRPO(normaliser=1), (0, 0, 1, 1)), true_gradient((0, 0, 1, 1))
    assert float(torch.nn.functional.cosine_similarity(found, true, dim=0)) < 0.999


def test_with_two_samples_the_z_score_is_a_sign() -> None:
    batch = with_advantages(GRPO(), one_token_each((0, 0, 1, 1), (0, 2, 0, 1)))
    assert batch.advantage is not None
    # (d/2) / (d/√2 + 1e-4): 0.7071 less a trace of the 1e-4, whatever the difference d
    expected = [(d / 2) / (d / 2**0.5 + 1e-4) for d in (0.75, 1.0)]
    a, b = expected
    assert batch.advantage[:, 1].tolist() == pytest.approx([a, -a, b, -b])
    assert a == pytest.approx(b, abs=1e-4)


def gradient(algorithm: PolicyGradient, specs: list[Episode], on_policy: bool = True) -> Tensor:
    batch, logprob = build(specs)
    batch = with_advantages(algorithm, batch)
    leaf = (batch.need("old_logprob") if on_policy else logprob).clone().requires_grad_()
    total_loss(algorithm, batch, leaf)
    assert leaf.grad is not None
    return leaf.grad


@settings(max_examples=25, deadline=None)
@given(specs=episode_lists())
def test_on_policy_the_members_differ_in_credit_and_normaliser_alone(specs: list[Episode]) -> None:
    """At ρ = 1 every surrogate's gradient is −A per token, so members with the same rest have the same gradient."""
    same: list[list[PolicyGradient]] = [
        [DAPO(), CISPO(), GRPO(normaliser="tokens"), DAPO(dual_clip=4.0), DAPO(tis=2.0), DAPO(mis=(0.5, 2.0))],
        [GSPO(), GRPO(), GRPO(clip_low=0.0, clip_high=0.0, dual_clip=1.5)],
        [DrGRPO(length=5), GRPO(advantage="centred", normaliser=5)],
    ]
    for members in same:
        found = [gradient(member, specs) for member in members]
        for other in found[1:]:
            torch.testing.assert_close(other, found[0], atol=1e-6, rtol=1e-5)
    one_group = [replace(spec, group=0) for spec in specs]
    torch.testing.assert_close(
        gradient(GRPO(advantage="batch_std"), one_group), gradient(GRPO(), one_group), atol=1e-6, rtol=1e-4
    )


@settings(max_examples=25, deadline=None)
@given(specs=episode_lists())
def test_gspo_token_is_gspo_while_tokens_share_an_advantage(specs: list[Episode]) -> None:
    """The paper's token-wise variant: s_t = sg[s] π/sg[π], clipped per token."""
    algorithm = GSPO(clip_low=0.16, clip_high=0.22)
    batch, logprob = build(specs)
    batch = with_advantages(algorithm, batch)
    leaf = logprob.clone().requires_grad_()
    assert batch.old_logprob is not None and batch.advantage is not None
    per_token = torch.zeros(())
    alive = {int(e) for e, trained in zip(batch.episode, batch.train.any(-1), strict=True) if trained}
    for episode in alive:
        mine = batch.train & (batch.episode == episode)[:, None]
        mean = (logprob - batch.old_logprob)[mine].mean()
        ratio = (mean + leaf[mine] - leaf[mine].detach()).exp()
        loss = clipped_surrogate(ratio, batch.advantage[mine], algorithm.clip_low, algorithm.clip_high)
        per_token = per_token + loss.mean() / len(alive)
    if alive:
        per_token.backward()  # type: ignore[no-untyped-call]
    expected = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
    torch.testing.assert_close(gradient(algorithm, specs, on_policy=False), expected, atol=1e-6, rtol=1e-5)
