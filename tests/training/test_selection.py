"""Dynamic sampling, overlong filter and punishment: by hand, against TRL, and through the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stopping import timeless
from toy import Echo, tiny_model

from hone import DAPO, GRPO, REINFORCE, Rejection, train
from hone.algorithms.base import Algorithm, State
from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.core.seeding import permutation_index
from hone.core.terms import Tokens
from hone.core.types import Completion, Failed, Outcome, Scored, StopReason, Trajectory, Turn
from hone.rollout.rows import to_batch
from hone.training.online import OnlineLoop
from hone.training.run import Run
from hone.training.selection import (
    groups_with_signal,
    leave_out_truncated,
    punish_overlong,
    select,
    spread,
)


def episode(group: int, reward: float | None, stop: StopReason = "end", length: int = 2) -> Trajectory:
    """Two turns; the first always ends by itself and earns 0.5; ``stop`` and ``length`` are the second's."""
    outcome: Outcome = Failed("no", "exception") if reward is None else Scored(reward - 0.5, {"right": reward})
    first = Turn((3,), Completion((5,), (-1.0,), "end"), "", Scored(0.5))
    second = Turn((4,), Completion((6,) * length, (-1.0,) * length, stop), "", outcome)
    return Trajectory(0, group, 0, (first, second))


CASES = [
    # rewards and stops of a group, and in which settings of `truncated` it has signal
    ([(1.0, "end"), (0.0, "end")], {"keep", "mask", "exclude"}),
    ([(1.0, "end"), (1.0, "end"), (1.0, "end")], set()),
    ([(1.0, "end")], set()),
    ([(1.0, "end"), (None, "end")], set()),
    ([(None, "end"), (None, "length")], set()),
    ([(1.0, "end"), (0.0, "end"), (None, "end")], {"keep", "mask", "exclude"}),
    ([(1.0, "end"), (0.0, "length")], {"keep", "mask"}),  # masked: the right one is still judged by the cut one
    ([(1.0, "length"), (0.0, "length")], {"keep"}),
    ([(1.0, "end"), (0.0, "end"), (3.0, "length")], {"keep", "mask", "exclude"}),
    ([(1.0, "end"), (1.0, "end"), (3.0, "length")], {"keep", "mask"}),
]


@pytest.mark.parametrize(("members", "signal"), CASES)
@pytest.mark.parametrize("truncated", ["keep", "mask", "exclude"])
def test_which_groups_have_signal(members: list[Any], signal: set[str], truncated: Any) -> None:
    group = [episode(7, reward, stop) for reward, stop in members]
    other = [episode(3, 0.25), episode(3, 0.75)]
    found = groups_with_signal([other[0], *group, other[1]], truncated)
    assert found == ({3, 7} if truncated in signal else {3})
    # and that is what the advantages say: some token in the loss has one
    trajectories = [replace(t, sample=i) for i, t in enumerate(group)]
    batch = leave_out_truncated(to_batch(trajectories, 0), trajectories, truncated)
    advantage = GRPO().advantages(batch, State())
    assert bool((advantage[batch.train] != 0).any()) == (truncated in signal)


def test_sums_that_differ_by_rounding_are_no_spread() -> None:
    def summed(*rewards: float) -> Trajectory:
        turns = (Turn((3,), Completion((5,), (-1.0,), "end"), "", Scored(r)) for r in rewards)
        return Trajectory(0, 0, 0, tuple(turns))

    a, b = summed(0.1, 0.2, 0.3), summed(0.3, 0.2, 0.1)
    assert a.reward != b.reward
    assert not spread([a, b])
    assert spread([a, summed(0.6, 0.001)])


@settings(deadline=None)
@given(length=st.integers(0, 20), cache=st.integers(1, 20))
def test_the_soft_punishment_is_trl_s(length: int, cache: int) -> None:
    trl_peer = pytest.importorskip("trl_peer")
    punished = punish_overlong(episode(0, 2.0, length=length), 20, cache)
    (expected,) = trl_peer.soft_overlong([length], 20, cache)
    first, second = (turn.outcome for turn in punished.turns)
    assert isinstance(first, Scored) and isinstance(second, Scored)
    assert second.value == pytest.approx(1.5 + expected)
    assert second.criteria == pytest.approx({"right": 2.0, "overlong": expected})
    assert first.value == pytest.approx(0.5 + min(0.0, 20 - cache - 1) / cache)  # each completion by itself


def test_the_soft_punishment_by_hand() -> None:
    for length, expected in ((5, 0.0), (6, 0.0), (7, -0.25), (8, -0.5), (10, -1.0)):
        assert punish_overlong(episode(0, 1.0, length=length), 10, 4).reward == pytest.approx(1.0 + expected)
    failed = punish_overlong(episode(0, None, length=9), 10, 4)
    assert failed.failure == Failed("no", "exception")


def test_masked_completions_are_trl_s() -> None:
    """Advantages see the cut completions, the loss and its denominator do not."""
    trl_peer = pytest.importorskip("trl_peer")
    lengths, cut = [3, 2, 4, 1, 2, 2], [False, True, False, False, False, True]
    reward = [1.0, 0.0, 0.5, 0.0, 2.0, 1.0]
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    advantage_B, loss_mask, items = trl_peer.overlong_filter(mask, cut, torch.tensor(reward), 3)
    stops: dict[bool, list[StopReason]] = {True: ["length"], False: ["end"]}
    trajectories = [
        Trajectory(0, i // 3, i % 3, (Turn((3,), Completion((6,) * n, (-1.0,) * n, stop), "", Scored(r)),))
        for i, (n, was_cut, r) in enumerate(zip(lengths, cut, reward, strict=True))
        for stop in stops[was_cut]
    ]
    batch = leave_out_truncated(to_batch(trajectories, 0), trajectories, "mask")
    assert torch.equal(batch.train[:, 1:], loss_mask)
    expected = torch.where(loss_mask, advantage_B[:, None], torch.zeros(()))
    torch.testing.assert_close(GRPO().advantages(batch, State())[:, 1:], expected, atol=1e-6, rtol=1e-5)
    assert float(Tokens().weights(batch).max()) == pytest.approx(1 / items)


def test_excluded_completions_are_as_if_they_had_failed() -> None:
    kept = [episode(0, 1.0), episode(0, 0.0), episode(0, 0.25)]
    one, other = [*kept, episode(0, 5.0, "length")], [*kept, episode(0, None, "length")]
    ours = leave_out_truncated(to_batch(one, 0), one, "exclude")
    theirs = to_batch(other, 0)
    assert torch.equal(ours.train, theirs.train)
    for algorithm in (GRPO(), REINFORCE(), Rejection()):
        assert torch.equal(algorithm.advantages(ours, State()), algorithm.advantages(theirs, State()))


# --- through the loop ------------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {"prompts": 4, "samples": 2, "max_tokens": 3, "steps": 6, "lr": 1e-3, "updates": 2, "seed": 5}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def go(base: Path, tmp_path: Path) -> Callable[..., Run]:
    def start(algorithm: Algorithm, *, out: str = "run", **settings: Any) -> Run:
        return train(str(base), Echo(turns=2), algorithm, out=str(tmp_path / out), **SMALL | settings)

    return start


def test_dynamic_sampling_learns_from_groups_with_signal_and_counts_the_rest(
    go: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    rolled: dict[int, list[Trajectory]] = {}
    batches: list[Batch] = []
    plain_rollouts, plain_columns = OnlineLoop.rollouts, OnlineLoop._columns

    def rollouts(self: OnlineLoop, step: int) -> list[Trajectory]:
        rolled[step] = plain_rollouts(self, step)
        return rolled[step]

    def columns(self: OnlineLoop, step: int, batch: Batch, metrics: dict[str, float]) -> Batch:
        batches.append(batch)
        return plain_columns(self, step, batch, metrics)

    monkeypatch.setattr(OnlineLoop, "rollouts", rollouts)
    monkeypatch.setattr(OnlineLoop, "_columns", columns)
    run = go(DAPO(), resample=3)
    assert len({row["groups_rolled"] for row in run.metrics}) > 1
    for row, batch in zip(run.metrics, batches, strict=True):
        step, trajectories = row["step"], rolled[row["step"]]
        groups = sorted({t.group for t in trajectories})
        signal = [g for g in groups if len({t.reward for t in trajectories if t.group == g}) > 1]
        # rounds of 4 places; each asks as many questions as were missing
        missing, expected = 4, list[int]()
        for round_ in range(4):
            asked = list(range(4 * round_, 4 * round_ + missing))
            expected += asked
            missing -= sum(g in signal for g in asked)
            if not missing:
                break
        assert groups == expected
        # the question is a function of the step and the group alone
        for t in trajectories:
            assert t.episode == permutation_index(5, (step - 1) * 16 + t.group, 4)
        assert sorted(set(batch.group.tolist())) == (signal or [0, 1, 2, 3])
        counted = {g: sum(len(u.action.tokens) for t in trajectories if t.group == g for u in t.turns) for g in groups}
        assert row["tokens"] == sum(counted.values())
        assert row["tokens_dropped"] == sum(n for g, n in counted.items() if signal and g not in signal)
        assert (row["groups_rolled"], row["groups_learnt"]) == (len(groups), len(signal) or 4)
        assert row["reward"] == pytest.approx(sum(t.reward for t in trajectories) / len(trajectories))


def test_without_any_signal_the_rounds_end_at_the_bound_and_nothing_is_learnt(
    go: Callable[..., Run], base: Path
) -> None:
    # of completions of one token those that are not cut are the end token alone, and that is never right
    run = go(DAPO(), resample=2, steps=2, max_tokens=1, truncated="exclude")
    for row in run.metrics:
        assert (row["groups_rolled"], row["groups_learnt"], row["tokens_dropped"]) == (12.0, 4.0, row["tokens"] * 2 / 3)
        assert row["grad_norm"] == 0.0
    before, after = (path / "model.safetensors" for path in (base, run.model))
    assert before.read_bytes() == after.read_bytes()


def test_resampling_leaves_the_first_round_as_it_was(go: Callable[..., Run]) -> None:
    """Step 1 rolls out the same first round with and without."""
    with_, without = (go(DAPO(), steps=1, seed=1, out=f"with{more}", **more) for more in ({"resample": 3}, {}))
    assert with_.metrics[0]["groups_rolled"] > 4
    assert "groups_rolled" not in without.metrics[0]
    assert with_.metrics[0]["tokens"] > without.metrics[0]["tokens"]


def test_a_crash_between_rounds_resumes_with_what_was_journalled(
    go: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = go(DAPO(), resample=3, save_every=2, out="whole")
    journalled: list[int] = []
    journal = Run.journal

    def crash(self: Run, step: int, outcomes: Any) -> None:
        journal(self, step, outcomes)
        journalled.append(step)
        if step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "journal", crash)
        go(DAPO(), resample=3, save_every=2)
    assert journalled.count(4) == 1
    assert whole.metrics[3]["groups_rolled"] > 4  # the crash lies between two rounds
    run = go(DAPO(), resample=3, save_every=2, resume=True)
    assert timeless(run.metrics) == timeless(whole.metrics)
    assert (run.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()


def test_the_punishment_is_in_the_reward_and_not_in_the_choice(go: Callable[..., Run], base: Path) -> None:
    run, plain = go(DAPO(), steps=1, overlong=3, out="with"), go(DAPO(), steps=1, out="without")
    cost = run.metrics[0]["criterion/overlong"]
    assert -1 <= cost < 0
    # two completions an episode
    assert run.metrics[0]["reward"] == pytest.approx(plain.metrics[0]["reward"] + 2 * cost)
    loop_recipe: Any = type("R", (), {})()
    loop_recipe.batch = type("B", (), {"resample": 1, "truncated": "keep", "overlong": 4, "prompts": 2})()
    loop_recipe.sampling = type("S", (), {"max_tokens": 8})()
    same = [episode(0, 1.0, length=5), episode(0, 1.0, length=8), episode(1, 1.0), episode(1, 0.0)]
    everything, learnt = select(same, loop_recipe)
    assert [t.group for t in learnt] == [1, 1]  # group 0 differs by the punishment alone
    assert [t.reward for t in everything] == pytest.approx([0.75, 0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("algorithm", "options", "sentence"),
    [
        (REINFORCE(), {"resample": 1}, "REINFORCE learns from a group whose rewards are all equal as well"),
        (Rejection(), {"resample": 1}, "Rejection learns from a group"),
        (DAPO(), {"overlong": 4}, "overlong zone is longer than a completion.*at most sampling.max_tokens = 3"),
        (DAPO(dual_clip=4.0), {"updates": 1}, "every ratio is 1, so a dual clip has no effect"),
        (DAPO(), {"resample": -1}, "must not be negative"),
        (DAPO(), {"truncated": "drop"}, "truncated"),
    ],
)
def test_refused(go: Callable[..., Run], algorithm: Algorithm, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HoneError, match=sentence):
        go(algorithm, **options)
