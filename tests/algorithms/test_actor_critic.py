"""PPO and A2C against plain Python on random episodes: several turns, several rows, failures, every option."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_batches import Act, Episode, build, episode_lists, per_episode
from reducing import total_loss, with_advantages
from slow_actor_critic import SlowCredit, apart, credit
from slow_policy_gradient import surrogate

from hone import A2C, PPO
from hone.algorithms._actor_critic import ActorCritic, Penalty
from hone.algorithms.base import Credit
from hone.core.batch import Batch
from hone.core.config import build_named, plain
from hone.core.errors import HoneError
from hone.functional.kl_control import adaptive_beta, doubling_beta
from hone.models.score import Scores

OPTIONS: list[dict[str, Any]] = [
    {},
    {"discount": 0.9, "trace": 0.8, "clock": "turn"},
    {"beta": 0.3, "trace": 0.5},
    {"beta": 0.3, "kl": "k3", "clock": "turn", "discount": 0.95},
    {"beta": 0.2, "whiten_rewards": True},
    {"missing_end": -1.0, "beta": 0.1},
    {"reward_clip": 0.2, "missing_end": 0.5},
]


def with_cuts(batch: Batch, cut: list[bool]) -> Batch:
    """Whether the last row of each episode was cut; the other rows say the opposite, for nobody to read."""
    number_B = (batch.episode - 100) // 3
    last_B = torch.tensor(
        [bool(batch.step[b] == batch.step[batch.episode == batch.episode[b]].max()) for b in range(len(batch))]
    )
    cut_B = torch.tensor(cut, dtype=torch.bool)[number_B] if len(batch) else torch.zeros(0, dtype=torch.bool)
    return batch.with_(truncated=cut_B == last_B)


def flat(nested: list[list[float]]) -> list[float]:
    return [x for row in nested for x in row]


def degenerate(found: SlowCredit) -> bool:
    """Whitening what is only rounding: nothing to compare."""
    raw = flat(found.raw)
    return bool(raw) and max(raw) - min(raw) < 0.05


@pytest.mark.parametrize("kind", [PPO, A2C])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@settings(max_examples=12, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99), data=st.data())
def test_credit(
    kind: type[ActorCritic], options: dict[str, Any], specs: list[Episode], shuffle: int, data: st.DataObject
) -> None:
    algorithm = kind(**options)
    cut = data.draw(st.lists(st.booleans(), min_size=len(specs), max_size=len(specs)))
    batch = with_cuts(build(specs, shuffle)[0], cut)
    made = algorithm.advantages(batch, algorithm.init_state())
    assert isinstance(made, Credit)
    slow = credit(algorithm, specs, cut)
    if degenerate(slow):
        return
    alive = [number for number, spec in enumerate(specs) if not spec.failed]
    found = per_episode(batch, made.advantage, len(specs))
    assert flat([found[i] for i in alive]) == pytest.approx(flat(slow.white), abs=2e-3)
    assert made.returns is not None
    returns = per_episode(batch, made.returns, len(specs))
    assert flat([returns[i] for i in alive]) == pytest.approx(flat(slow.target), abs=2e-3)
    assert bool((made.advantage[~batch.train] == 0).all())
    if algorithm.beta and slow.live:
        assert made.metrics["kl_episode"] == pytest.approx(slow.kl_episode, abs=1e-4)
        assert made.metrics["episodes"] == len(slow.live)


@pytest.mark.parametrize("value_clip", [0.2, 0.0])
@settings(max_examples=15, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99), shift=st.sampled_from([-0.7, 0.07, 0.7]))
def test_ppo_loss_and_gradient(value_clip: float, specs: list[Episode], shuffle: int, shift: float) -> None:
    algorithm = PPO(clip_high=0.3, value_clip=value_clip, value_weight=0.4, beta=0.1)
    batch, logprob = build(specs, shuffle)
    batch = with_advantages(algorithm, batch)
    slow = credit(algorithm, specs, [False] * len(specs))
    if degenerate(slow):
        return
    assert batch.value is not None
    leaf, value = logprob.clone().requires_grad_(), (batch.value + shift).requires_grad_()
    loss, named = total_loss(algorithm, batch, leaf, value)
    count = max(len(flat(slow.raw)), 1)
    expected, value_loss, slopes = 0.0, 0.0, list[float]()
    for spec, white, target in zip(slow.live, slow.white, slow.target, strict=True):
        for new, old, a, v, g in zip(
            spec.flat("logprob"), spec.flat("old"), white, spec.flat("value"), target, strict=True
        ):
            term, slope = surrogate(math.exp(new - old), a, 0.2, 0.3)
            expected, slopes = expected + term / count, [*slopes, slope / count]
            near = v + (max(-0.2, min(0.2, shift)) if value_clip else shift)
            value_loss += max((v + shift - g) ** 2, (near - g) ** 2) / 2 / count
    assert named["policy"] == pytest.approx(expected, abs=1e-4)
    assert named["value"] == pytest.approx(value_loss, abs=1e-4, rel=1e-4)
    assert loss == pytest.approx(expected + 0.4 * value_loss, abs=2e-4, rel=1e-4)
    assert leaf.grad is not None
    found = per_episode(batch, leaf.grad, len(specs))
    assert flat([f for f, s in zip(found, specs, strict=True) if not s.failed]) == pytest.approx(slopes, abs=1e-3)


@pytest.mark.parametrize("kl", ["k1", "k2", "k3"])
@settings(max_examples=15, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_a2c_loss_and_gradient(kl: str, specs: list[Episode], shuffle: int) -> None:
    algorithm = A2C(alpha=0.25, alpha_kl=kl, discount=0.9)  # type: ignore[arg-type]
    batch, logprob = build(specs, shuffle)
    batch = with_advantages(algorithm, batch)
    assert batch.value is not None
    leaf, value = logprob.clone().requires_grad_(), (batch.value + 0.5).requires_grad_()
    loss, _ = total_loss(algorithm, batch, leaf, value)
    slow = credit(algorithm, specs, [False] * len(specs))
    count = max(len(flat(slow.raw)), 1)
    expected, slopes, value_slopes = 0.0, [], []
    for spec, advantage, target in zip(slow.live, slow.raw, slow.target, strict=True):
        columns = zip(spec.flat("logprob"), spec.flat("ref"), advantage, spec.flat("value"), target, strict=True)
        for new, ref, a, v, g in columns:
            d = new - ref
            expected += (0.25 * apart(kl, d) + 0.75 * (-new * a + 0.5 * (v + 0.5 - g) ** 2 / 2)) / count
            slope = {"k1": 1.0, "k2": d, "k3": 1 - math.exp(-d)}[kl]
            slopes.append((0.25 * slope - 0.75 * a) / count)
            value_slopes.append(0.75 * 0.5 * (v + 0.5 - g) / count)
    assert loss == pytest.approx(expected, abs=1e-4, rel=1e-4)
    assert leaf.grad is not None and value.grad is not None
    for grad, want in ((leaf.grad, slopes), (value.grad, value_slopes)):
        found = per_episode(batch, grad, len(specs))
        assert flat([f for f, s in zip(found, specs, strict=True) if not s.failed]) == pytest.approx(want, abs=1e-4)


def test_credit_by_hand_over_two_turns_and_an_observation() -> None:
    """γ = λ = 1/2; a two-token turn earning 1, two tokens of observation, a one-token turn earning 2."""
    first = Act(1, [1.0, 2.0], [-1.0, -1.0], [-1.0, -1.0], [-1.5, -0.5], 1.0, False)
    second = Act(2, [4.0], [-1.0], [-1.0], [-3.0], 2.0, False)
    batch, _ = build([Episode(0, [first, second])])
    algorithm = PPO(discount=0.5, trace=0.5, beta=0.5, whiten_advantages=False)
    made = algorithm.advantages(batch, algorithm.init_state())
    assert isinstance(made, Credit) and made.returns is not None
    # k1 = .5, −.5, 2 → rewards −.25, 1 + .25, 2 − 1;  δ = −.25 + 1 − 1 = −.25;  1.25 + 2 − 2 = 1.25;  1 − 4 = −3
    # A_2 = −3;  A_1 = 1.25 − 3/4 = .5;  A_0 = −.25 + .5/4 = −.125
    advantage = per_episode(batch, made.advantage, 1)[0]
    assert advantage == pytest.approx([-0.125, 0.5, -3.0])
    assert per_episode(batch, made.returns, 1)[0] == pytest.approx([0.875, 2.5, 1.0])
    assert made.metrics["kl_episode"] == pytest.approx(2.0)
    turns = PPO(discount=0.5, trace=0.5, beta=0.5, clock="turn", whiten_advantages=False)
    made = turns.advantages(batch, turns.init_state())
    assert isinstance(made, Credit)
    # turns: rewards 1 and 1, values 1 and 4: δ = 1 + 2 − 1 = 2 and −3; A = 2 − 3/4 and −3
    assert per_episode(batch, made.advantage, 1)[0] == pytest.approx([1.25, 1.25, -3.0])


def test_an_answer_without_end_gets_the_fixed_reward_and_a_failed_one_none() -> None:
    act = Act(0, [0.0, 0.0], [-1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0], 0.75, False)
    specs = [Episode(0, [act]), Episode(0, [act]), Episode(0, [act], failed=True)]
    algorithm = PPO(missing_end=-1.0, trace=1.0, whiten_advantages=False)
    batch = with_cuts(build(specs)[0], [False, True, True])
    made = algorithm.advantages(batch, algorithm.init_state())
    assert isinstance(made, Credit) and made.returns is not None
    assert per_episode(batch, made.returns, 3) == [[0.75, 0.75], [-1.0, -1.0], [0.0, 0.0]]
    with pytest.raises(LookupError, match="truncated"):
        algorithm.advantages(build(specs)[0], algorithm.init_state())


def test_controllers_by_hand() -> None:
    # error clipped to ±.2: .1·(1 + .2·64/640) = .102;  unclipped: KL/target − 1 = .1
    assert adaptive_beta(0.1, 12.0, 6.0, 64, 640) == pytest.approx(0.102)
    assert adaptive_beta(0.1, 6.6, 6.0, 64, 640) == pytest.approx(0.101)
    assert adaptive_beta(0.1, -50.0, 6.0, 64, 640) == pytest.approx(0.098)
    assert adaptive_beta(0.1, 0.0, 6.0, 10, 1) == 0.0
    assert [doubling_beta(0.1, kl, 6.0) for kl in (9.1, 8.9, 4.1, 3.9)] == [0.2, 0.1, 0.1, 0.05]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 0.5),
        ({"kl_controller": "adaptive", "kl_target": 4.0, "kl_horizon": 100.0}, 0.5 * (1 + 0.2 * 20 / 100)),
        ({"kl_controller": "doubling", "kl_target": 4.0}, 1.0),
    ],
)
def test_the_state_follows_the_measured_kl(options: dict[str, Any], expected: float) -> None:
    algorithm = PPO(beta=0.5, **options)
    metrics = {"kl_episode": 8.0, "episodes": 20.0, "reward": 1.0}
    state = algorithm.update_state(algorithm.init_state(), metrics)
    assert isinstance(state, Penalty)
    assert state.beta == pytest.approx(expected)
    assert algorithm.update_state(state, {"kl_episode": float("nan"), "episodes": 0.0}) == state
    # the β in force is the state's
    act = Act(0, [0.0], [-1.0], [-1.0], [-2.0], 0.0, False)
    made = algorithm.advantages(build([Episode(0, [act])])[0], state)
    assert isinstance(made, Credit) and made.returns is not None
    assert float(made.returns.sum()) == pytest.approx(-expected)


@pytest.mark.parametrize("alpha", [0.0, 0.4])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_the_expected_gradient_over_all_actions(alpha: float, beta: float) -> None:
    """Every action of an enumerable policy, weighted by its probability: A2C descends α·KL − (1 − α)·E[r − β·KL]."""
    algorithm = A2C(alpha=alpha, beta=beta, value_weight=0.0)
    logits = torch.tensor([0.3, -0.4, 1.0, 0.2], dtype=torch.float64, requires_grad=True)
    ref, reward = torch.tensor([0.1, 0.5, -0.2, 0.0]).log_softmax(-1), [1.0, -0.5, 0.25, 2.0]
    logprob = logits.log_softmax(-1)
    total = torch.zeros((), dtype=torch.float64)
    for action in range(4):
        now = float(logprob[action].detach())
        act = Act(1, [0.0], [now], [now], [float(ref[action])], reward[action], False)
        batch = with_advantages(algorithm, build([Episode(0, [act])])[0])
        scores = Scores(batch.train * logprob[action], value=torch.zeros_like(batch.reward))
        for term in algorithm.loss(batch, scores, algorithm.init_state()).values():
            weight = term.coefficient * math.exp(now)
            total = total + weight * term.reduce(term.normaliser.weights(batch))
    (found,) = torch.autograd.grad(total, logits, retain_graph=True)
    kl = (logprob.exp() * (logprob - ref)).sum()
    goal = alpha * kl - (1 - alpha) * ((logprob.exp() * torch.tensor(reward)).sum() - beta * kl)
    (expected,) = torch.autograd.grad(goal, logits)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_adaptive_controller_holds_its_target(seed: int) -> None:
    """A softmax policy over 8 actions, pulled away by a reward; the measured KL ends within 20 % of the target."""
    target, sampled = 0.5, 512
    algorithm = PPO(beta=0.02, kl_controller="adaptive", kl_target=target, kl_horizon=4000.0)
    random = torch.Generator().manual_seed(seed)
    logits, reward = torch.zeros(8), torch.randn(8, generator=random)
    reference = torch.zeros(8).log_softmax(-1)
    state, seen = algorithm.init_state(), []
    for _ in range(400):
        assert isinstance(state, Penalty)
        logprob = logits.log_softmax(-1)
        chosen = torch.multinomial(logprob.exp(), sampled, replacement=True, generator=random)
        k1 = (logprob - reference)[chosen]
        worth = reward[chosen] - state.beta * k1
        # REINFORCE with the mean as a baseline
        gradient = torch.zeros(8).index_add(0, chosen, worth - worth.mean()) / sampled
        logits = logits + 0.5 * (gradient - logprob.exp() * gradient.sum())
        seen.append(float(k1.mean()))
        state = algorithm.update_state(state, {"kl_episode": seen[-1], "episodes": float(sampled)})
    assert sum(seen[-50:]) / 50 == pytest.approx(target, rel=0.2)
    assert isinstance(state, Penalty) and state.beta != 0.02


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kl_target": 6.0, "kl_controller": "adaptive"}, "KL target with beta = 0"),
        ({"kl_target": 6.0}, "KL target with beta = 0"),
        ({"beta": 0.1, "kl_target": 6.0}, 'no effect while kl_controller is "fixed"'),
        ({"beta": 0.1, "kl_controller": "doubling"}, "needs a positive kl_target"),
        ({"beta": 0.1, "kl_controller": "doubling", "kl_target": 1.0, "kl_horizon": 5.0}, "kl_horizon has no effect"),
        ({"kl": "k2"}, "kl has no effect while beta is 0"),
        ({"beta": -0.1}, "beta must not be negative"),
        ({"trace": 1.5}, "trace must lie between 0 and 1"),
        ({"value_weight": -1.0}, "value_weight must not be negative"),
        ({"clip_low": 2.0}, "clip_low must lie between 0 and 1"),
        ({"value_clip": -0.1}, "value_clip must not be negative"),
        ({"kl_horizn": 5.0}, 'did you mean "kl_horizon"|kl_horizon'),
    ],
)
def test_refused_options_of_ppo(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HoneError, match=sentence):
        build_named({"name": "ppo", **values}, "hone.algorithms", "algorithm")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"alpha": 1.0}, "alpha must be at least 0 and below 1"),
        ({"alpha_kl": "k3"}, "alpha_kl has no effect"),
        ({"clip_low": 0.2}, "unknown key"),
    ],
)
def test_refused_options_of_a2c(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HoneError, match=sentence):
        build_named({"name": "a2c", **values}, "hone.algorithms", "algorithm")


@pytest.mark.parametrize(
    "algorithm",
    [
        PPO(beta=0.1, kl_controller="adaptive", kl_target=2.0, missing_end=-1.0, clip_high=0.3),
        A2C(alpha=0.3, alpha_kl="k3", clock="turn"),
    ],
    ids=str,
)
def test_to_toml_and_back(algorithm: ActorCritic) -> None:
    table = plain(algorithm) | {"name": type(algorithm).__name__.lower()}
    assert build_named(table, "hone.algorithms", "algorithm") == algorithm
