"""Returns and GAE: by hand, against double sums in plain Python, and law 3 on rows of every layout."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_batches import Episode, build, episode_lists, per_episode
from slow_credit import slow_credit

from hone.functional.episodes import Episodes
from hone.functional.returns import Clock, batch_gae, batch_returns, discounted_returns, gae

MASK = torch.tensor([[True, True, True], [True, False, False]])
REWARD = torch.tensor([[1.0, 0.0, 2.0], [3.0, 50.0, 50.0]])


def test_returns_by_hand() -> None:
    # 2 + .5·4 = 4;  0 + .5·4 = 2;  1 + .5·2 = 2   and   3 + .5·8 = 7
    found = discounted_returns(REWARD, MASK, 0.5, torch.tensor([4.0, 8.0]))
    assert found.tolist() == [[2.0, 2.0, 4.0], [7.0, 0.0, 0.0]]
    assert discounted_returns(REWARD, MASK, 1.0).tolist() == [[3.0, 2.0, 2.0], [3.0, 0.0, 0.0]]


def test_gae_by_hand() -> None:
    value = torch.tensor([[1.0, 2.0, 4.0], [6.0, 50.0, 50.0]])
    # γ = λ = .5, bootstrap 4 and 8
    # δ = 1 + .5·2 − 1 = 1;  0 + .5·4 − 2 = 0;  2 + .5·4 − 4 = 0;   and  3 + .5·8 − 6 = 1
    found = gae(REWARD, value, MASK, 0.5, 0.5, torch.tensor([4.0, 8.0]))
    assert found.tolist() == [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    # without bootstrap the last δ of row 0 is −2 and of row 1 is −3: −2 · ¼ = −.5 before it, −.125 + 1 first
    assert gae(REWARD, value, MASK, 0.5, 0.5).tolist() == [[0.875, -0.5, -2.0], [-3.0, 0.0, 0.0]]


def test_a_trace_of_one_is_return_minus_value() -> None:
    value = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)) * MASK
    bootstrap = torch.tensor([0.3, -1.0])
    expected = discounted_returns(REWARD, MASK, 0.9, bootstrap) - value
    torch.testing.assert_close(gae(REWARD, value, MASK, 0.9, 1.0, bootstrap), expected * MASK)


@pytest.mark.parametrize("clock", ["token", "turn"])
@settings(max_examples=30, deadline=None)
@given(
    specs=episode_lists(),
    shuffle=st.integers(0, 99),
    discount=st.sampled_from([1.0, 0.9]),
    trace=st.sampled_from([1.0, 0.7, 0.0]),
)
def test_batch_credit_against_plain_python(
    clock: Clock, specs: list[Episode], shuffle: int, discount: float, trace: float
) -> None:
    batch, _ = build(specs, shuffle)
    episodes = Episodes.index(batch, batch.sampled)
    assert batch.value is not None and batch.old_logprob is not None
    penalty_BT = 0.1 * batch.old_logprob
    reward_BT = batch.reward - penalty_BT
    advantage_BT, target_BT = batch_gae(
        episodes, reward_BT, batch.value, batch.bootstrap, discount=discount, trace=trace, clock=clock
    )
    togo_BT = batch_returns(episodes, reward_BT, batch.bootstrap, discount=discount, clock=clock)
    for x_BT in (advantage_BT, target_BT, togo_BT):
        assert bool((x_BT[~batch.sampled] == 0).all())
    found = [per_episode(batch, x, len(specs)) for x in (advantage_BT, target_BT, togo_BT)]
    for number, spec in enumerate(specs):
        penalty = [0.1 * x for x in spec.flat("old")]
        expected = slow_credit(spec, penalty, discount, trace, clock)
        if spec.failed:
            expected = tuple([0.0] * len(penalty) for _ in range(3))  # type: ignore[assignment]
        for got, want in zip(found, expected, strict=True):
            assert got[number] == pytest.approx(want, abs=2e-5)


@pytest.mark.parametrize("clock", ["token", "turn"])
@settings(max_examples=25, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_law_3_a_split_episode_gives_what_the_unsplit_one_gives(
    clock: Clock, specs: list[Episode], shuffle: int
) -> None:
    results = []
    for laid_out in (specs, [spec.unsplit() for spec in specs]):
        batch, _ = build(laid_out, shuffle)
        assert batch.value is not None
        made = batch_gae(
            Episodes.index(batch, batch.sampled),
            batch.reward,
            batch.value,
            batch.bootstrap,
            discount=0.95,
            trace=0.8,
            clock=clock,
        )
        results.append([per_episode(batch, x, len(specs)) for x in made])
    assert results[0] == results[1]
