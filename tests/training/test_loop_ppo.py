"""PPO with a value head through the loop, whole episodes and episodes split over sliding windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import Echo, tiny_model

from hone.algorithms.ppo import PPO
from hone.core.batch import Batch
from hone.core.types import Trajectory
from hone.engines.base import Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.models.policy import Policy, ValueConfig, load
from hone.rollout.rows import to_batch
from hone.training.online import OnlineLoop
from hone.training.recipe import BatchConfig, OptimiserConfig, Recipe, RunConfig
from hone.training.run import Run

WINDOW = 7


class WindowEngine(EmbeddedEngine):
    """Sees the last few tokens of a context only."""

    def submit(self, requests: Sequence[Request]) -> None:
        super().submit([dataclasses.replace(r, prompt=r.prompt[-WINDOW:]) for r in requests])


class WindowLoop(OnlineLoop):
    """Lays episodes out as they were sampled: every turn a row of its own, with the window before it."""

    def rollouts(self, step: int) -> list[Trajectory]:
        return [windowed(trajectory) for trajectory in super().rollouts(step)]


def windowed(trajectory: Trajectory) -> Trajectory:
    turns, context = [], list[int]()
    for number, turn in enumerate(trajectory.turns):
        context += turn.observation
        turns.append(dataclasses.replace(turn, observation=tuple(context[-WINDOW:]), restart=number > 0))
        context += turn.action.tokens
    return dataclasses.replace(trajectory, turns=tuple(turns))


class Kept(OnlineLoop):
    """Keeps each step's batch, columns included."""

    def _columns(self, step: int, batch: Batch, metrics: dict[str, float]) -> Batch:
        self.batch = super()._columns(step, batch, metrics)
        return self.batch


class KeptWindow(Kept, WindowLoop):
    pass


def make(kind: type[Kept], policy: Policy, out: Path, turns: int, **ppo: Any) -> Kept:
    out.mkdir()
    recipe = Recipe(
        policy.config,
        Echo(turns=turns),
        PPO(**ppo),
        Sampling(max_tokens=3),
        BatchConfig(prompts=4, samples=4, epochs=2, updates=2, micro_tokens=64),
        OptimiserConfig(lr=5e-3),
        RunConfig(out=str(out), steps=35),
    )
    engine = WindowEngine if kind is KeptWindow else EmbeddedEngine
    return kind(recipe, policy, Run(out), engine.of(policy))


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load(str(tiny_model(tmp_path / "base")))


def values_by_hand(policy: Policy, row: list[int]) -> list[float]:
    """Value before every token of a row and after its last, from one plain forward pass."""
    ids = torch.tensor([row])
    with torch.no_grad():
        if policy.critic is not None:
            return [0.0, *policy.critic.head(policy.critic.body(input_ids=ids).last_hidden_state[0]).tolist()]
        assert policy.value_head is not None
        hidden = policy.model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
        return [0.0, *policy.value_head(hidden[0]).tolist()]


def advantages_by_hand(policy: Policy, batch: Batch, discount: float, trace: float) -> dict[tuple[int, int], float]:
    """GAE over the action tokens of every episode on the token clock, whitened, by plain loops."""
    found: dict[tuple[int, int], float] = {}
    for episode in sorted(set(batch.episode.tolist())):
        actions: list[tuple[int, int, float, float]] = []  # row, position, reward, value
        for row in sorted((b for b in range(len(batch)) if batch.episode[b] == episode), key=lambda b: batch.step[b]):
            length = int(batch.mask[row].sum())
            values = values_by_hand(policy, batch.tokens[row, :length].tolist())
            actions += [
                (row, t, float(batch.reward[row, t]), values[t]) for t in range(length) if bool(batch.sampled[row, t])
            ]
        running, after = 0.0, 0.0
        for row, t, reward, value in reversed(actions):
            running = reward + discount * after - value + discount * trace * running
            found[row, t], after = running, value
    mean = sum(found.values()) / len(found)
    deviation = (sum((a - mean) ** 2 for a in found.values()) / len(found)) ** 0.5
    return {at: (a - mean) / deviation for at, a in found.items()}


@pytest.mark.parametrize(("kind", "value"), [(Kept, "shared"), (KeptWindow, "shared"), (Kept, "separate")])
def test_ppo_learns_and_its_credit_is_the_slow_oracle_s(kind: type[Kept], value: Any, tmp_path: Path) -> None:
    policy = load(str(tiny_model(tmp_path / "base")), value=ValueConfig(value))
    loop = make(kind, policy, tmp_path / "run", turns=3, discount=0.9, trace=0.8)
    rewards = []
    for step in range(1, 36):
        metrics = loop.step(step)
        rewards.append(metrics["reward"])
        assert metrics["logprob_gap_max"] < 1e-5
        assert {"policy", "value"} <= metrics.keys()
    assert sum(rewards[:3]) / 3 < 1.5
    assert sum(rewards[-3:]) / 3 > 2.3
    head = policy.critic.head if policy.critic is not None else policy.value_head
    assert head is not None and any(bool(p.any()) for p in head.parameters())
    assert (policy.critic is None) == (value == "shared")

    # the values of a step are those before its updates
    held = {name: p.detach().clone() for name, p in policy.trainable()}
    loop.step(36)
    with torch.no_grad():
        for name, parameter in policy.trainable():
            parameter.copy_(held[name])
    batch, oracle = loop.batch, advantages_by_hand(policy, loop.batch, 0.9, 0.8)
    assert int(batch.sampled.sum()) == len(oracle)
    assert len(batch) == (16 * 3 if kind is KeptWindow else 16)
    assert batch.advantage is not None
    for (row, t), expected in oracle.items():
        assert float(batch.advantage[row, t]) == pytest.approx(expected, abs=2e-4)


def test_a_truncated_episode_is_worth_what_comes_after(policy: Policy, tmp_path: Path) -> None:
    """The value after the last token stands in for what was cut off; an episode that ended is worth nothing more."""
    policy.add_value_head()
    assert policy.value_head is not None
    with torch.no_grad():
        for parameter in policy.value_head.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    loop = make(Kept, policy, tmp_path / "run", turns=2)
    trajectories = loop.rollouts(1)
    cut = [dataclasses.replace(t, terminated=number % 2 == 0) for number, t in enumerate(trajectories)]
    batch = loop._columns(1, to_batch(cut, policy.pad_id), {})
    for row in range(len(batch)):
        after = values_by_hand(policy, batch.tokens[row, : int(batch.mask[row].sum())].tolist())[-1]
        assert float(batch.bootstrap[row]) == pytest.approx(0.0 if row % 2 == 0 else after, abs=1e-5)


@pytest.mark.parametrize("kind", [Kept, KeptWindow])
def test_the_kl_of_an_episode_is_summed_over_its_rows(kind: type[Kept], policy: Policy, tmp_path: Path) -> None:
    loop = make(kind, policy, tmp_path / "run", turns=3, beta=0.1)
    assert loop.step(1)["kl_ref_episode"] == pytest.approx(0, abs=1e-4)
    metrics = loop.step(2)
    batch, apart = loop.batch, dict.fromkeys(range(16), 0.0)
    assert batch.ref_logprob is not None
    for row, t in torch.nonzero(batch.sampled).tolist():
        apart[int(batch.episode[row])] += float(batch.behaviour_logprob[row, t] - batch.ref_logprob[row, t])
    assert metrics["kl_ref_episode"] == pytest.approx(sum(apart.values()) / 16, abs=1e-5) != 0
    assert metrics["kl_ref_episode"] == pytest.approx(metrics["kl_episode"], abs=1e-4)
