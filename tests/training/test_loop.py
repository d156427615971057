"""The laws, through the real loop: a tiny model, a toy task, every step as a user would run it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from policies import tiny
from safetensors.torch import load_file
from toy import Echo, EchoEnv, tiny_model

from hone import GRPO, GSPO, RLOO, load, train
from hone.algorithms.base import Algorithm
from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.core.types import Failed, Outcome, Scored
from hone.envs.base import TextEnv
from hone.models.config import LoraConfig, ModelConfig
from hone.models.tiny import TinyConfig
from hone.training.fit import DataConfig, FitRecipe, fit
from hone.training.online import OnlineLoop
from hone.training.recipe import RunConfig
from hone.training.run import Run
from hone.training.update import update

SMALL: dict[str, Any] = {"prompts": 4, "samples": 4, "max_tokens": 3, "steps": 4, "lr": 1e-3}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture
def go(base: Path, tmp_path: Path) -> Callable[..., Run]:
    def start(task: Any, algorithm: Algorithm | None = None, *, out: str = "run", **settings: Any) -> Run:
        return train(str(base), task, algorithm or GRPO(), out=str(tmp_path / out), **SMALL | settings)

    return start


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@dataclass(frozen=True)
class Judged(Echo):
    """Echo with a judge of the test's own: (letter, answer) to an outcome, or an exception."""

    judge: Callable[[str, str], Outcome] = lambda letter, answer: Scored(0.0)

    def env(self, split: str) -> TextEnv:
        return JudgedEnv(self.turns, self.judge)


class JudgedEnv(EchoEnv):
    def __init__(self, turns: int, verdict: Callable[[str, str], Outcome]) -> None:
        super().__init__(turns, False)
        self.verdict = verdict

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        observation, value, terminated, truncated, info = super().step(action)
        return observation, value, terminated, truncated, {**info, "outcome": self.verdict(self.letter, action)}


@pytest.mark.parametrize(
    "algorithm", [GRPO(beta=0.1), GRPO(normaliser="tokens"), RLOO(), GSPO(0.1, 0.1, tis=1.1)], ids=str
)
def test_micro_batches_do_not_change_the_weights(go: Callable[..., Run], algorithm: Algorithm) -> None:
    # AdamW divides by the gradient's size: with eps this large rounding in a gradient near 0 stays rounding
    settings = {"task": Echo(turns=2), "algorithm": algorithm, "epochs": 2, "updates": 2, "eps": 1e-3}
    one = weights(go(**settings, micro_tokens=1, out="one").model)
    all_ = weights(go(**settings, micro_tokens=1 << 20, out="all").model)
    assert max(float((one[name] - all_[name]).abs().max()) for name in one) < 1e-6


@pytest.mark.parametrize("turns", [1, 2])
def test_the_policy_learns_to_echo(go: Callable[..., Run], turns: int) -> None:
    run = go(Echo(turns=turns), steps=40, samples=16, lr=1e-2, max_tokens=2, evaluate_every=40)
    rewards = [row["reward"] for row in run.metrics]
    assert rewards[0] < 0.4 * turns
    assert min(rewards[-3:]) > 0.9 * turns
    assert run.metrics[-1]["accuracy"] > 0.9


def test_sampler_and_learner_agree_at_every_temperature(go: Callable[..., Run]) -> None:
    for temperature in (1.0, 0.7):
        run = go(Echo(turns=2), temperature=temperature, out=f"at{temperature}")
        assert all(0 <= row["logprob_gap"] <= row["logprob_gap_max"] < 2e-6 for row in run.metrics)


def test_a_gap_that_opens_later_is_warned_about_once(
    go: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learn = OnlineLoop._learn

    def parted(loop: OnlineLoop, step: int, batch: Batch) -> dict[str, float]:
        return learn(loop, step, batch) | {"logprob_gap_max": {1: 0.0009, 2: 0.0011}.get(step, 0.3)}

    monkeypatch.setattr(OnlineLoop, "_learn", parted)
    go(Echo(), steps=4)
    warned = [line for line in capsys.readouterr().err.splitlines() if "log-probabilities differ" in line]
    assert len(warned) == 1
    assert "step 2: " in warned[0] and "0.0011" in warned[0]


def test_truncated_sampling_is_refused_unless_asked_for(go: Callable[..., Run], tmp_path: Path) -> None:
    for setting in ({"top_k": 3}, {"top_p": 0.9}, {"min_tokens": 1}, {"temperature": 0.0}):
        with pytest.raises(HoneError, match=r"sampler's distribution would not be the learner's.*allow_truncated"):
            go(Echo(), **setting)
    assert not (tmp_path / "run").exists()
    run = go(Echo(), top_k=4, allow_truncated_sampling=True)
    assert run.metrics[0]["logprob_gap"] > 0.1


def test_failures_beyond_the_cap_end_the_run_and_name_the_first(go: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(HoneError) as error:
        go(Echo(fails=True), samples=16, failure_cap=0.0)
    assert str(error.value).startswith("too many rollouts failed; at step 1; got ")
    assert "of 64 rollouts; the first: exception: the grader dislikes #" in str(error.value)
    assert "at most 0% (run.failure_cap)" in str(error.value)
    assert not (tmp_path / "run" / "model").exists()


def test_failed_rewards_never_train(go: Callable[..., Run], base: Path) -> None:
    """All that is graded is worth the same: if a failure counted as any other number, something would move."""

    def verdict(letter: str, answer: str) -> Outcome:
        return Failed("no", "exception") if answer[:1] in "abc" else Scored(1.0)

    run = go(Judged(judge=verdict), RLOO(), failure_cap=0.99)
    assert all(0 < row["failures"] < 1 for row in run.metrics)
    assert all((row["reward"], row["zero_signal"], row["grad_norm"]) == (1.0, 1.0, 0.0) for row in run.metrics)
    before, after = weights(base), weights(run.model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_one_environment_that_raises_does_not_end_the_run(go: Callable[..., Run]) -> None:
    raised: list[str] = []

    def verdict(letter: str, answer: str) -> Outcome:
        if answer[:1] == "#" and len(raised) < 3:
            raised.append(answer)
            raise RuntimeError("the sandbox is gone")
        return Scored(float(answer.startswith(letter)))

    run = go(Judged(turns=2, judge=verdict), samples=16, failure_cap=0.1)
    assert len(raised) == 3  # one of them in preflight
    assert sum(row["failures"] for row in run.metrics) == pytest.approx(2 / 64)
    assert [row["step"] for row in run.metrics] == [1, 2, 3, 4]


def test_outcomes_journalled_before_a_crash_are_the_resumed_run_s(
    go: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grader changes its mind with the clock; what was learnt from before the crash is learnt again."""
    mood = [0.0]

    def verdict(letter: str, answer: str) -> Outcome:
        return Scored(mood[0] + len(answer))

    settings = {"task": Judged(judge=verdict), "save_every": 2}
    whole = go(**settings, out="whole")
    seen: list[int] = []

    def crash(*arguments: Any, **named: Any) -> dict[str, float]:
        seen.append(len(seen))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return update(*arguments, **named)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("hone.training.online.update", crash)
        go(**settings)
    run = Run(tmp_path / "run")
    assert [row["step"] for row in run.metrics] == [1, 2, 3]
    assert sorted(run.recorded(3)) == sorted(run.recorded(4)) != []
    mood[0] = 100.0
    go(**settings, resume=True)
    assert [row["reward"] for row in run.metrics] == [row["reward"] for row in whole.metrics]
    ours, theirs = weights(run.model), weights(whole.model)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_run_killed_after_its_last_checkpoint_still_gets_its_model(
    go: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = go(Echo(), out="whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        go(Echo())
    run = Run(tmp_path / "run")
    assert not run.model.exists()
    go(Echo(), resume=True)
    assert len(run.metrics) == 4
    ours, theirs = weights(run.model), weights(whole.model)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_crash_between_a_step_s_line_and_its_checkpoint_loses_neither(
    go: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moment in ("new_checkpoint", "prune"):

        def crash(self: Run, *arguments: Any, **named: Any) -> Any:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Run, moment, crash)
            go(Echo(), out=moment, save_every=2)
        run = go(Echo(), out=moment, save_every=2, resume=True)
        assert [row["step"] for row in run.metrics] == [1, 2, 3, 4]


def test_a_prompt_longer_than_the_context_fails_alone(tmp_path: Path) -> None:
    """GPT-2 has a table of positions: a row beyond it could not even be scored."""
    policy = tiny("gpt2", max_length=8)

    @dataclass(frozen=True)
    class Long(Echo):
        def env(self, split: str) -> TextEnv:
            return LongEnv(1, False)

    class LongEnv(EchoEnv):
        def reset(self, **named: Any) -> tuple[str, dict[str, Any]]:
            _, info = super().reset(**named)
            return ("1" * 30 if self.letter == "a" else "1+1="), info

    run = train(policy, Long(), GRPO(beta=0.1), out=str(tmp_path / "run"), failure_cap=0.5, **SMALL)
    assert [row["failures"] for row in run.metrics] == [0.25] * 4


def test_a_lora_adapter_trains_and_loads_again(go: Callable[..., Run], base: Path, tmp_path: Path) -> None:
    policy = load(ModelConfig(str(base), lora=LoraConfig(rank=2), gradient_checkpointing=True))
    run = train(policy, Echo(), GRPO(beta=0.01), out=str(tmp_path / "lora"), **SMALL | {"lr": 1e-2, "steps": 6})
    assert run.metrics[0]["kl_ref"] == pytest.approx(0, abs=1e-9)
    assert run.metrics[-1]["kl_ref"] > 1e-5
    again = dict(load(str(run.model)).trainable())
    assert again.keys() == dict(policy.trainable()).keys() != set()
    assert all(torch.equal(again[name], p) for name, p in policy.trainable())


def test_a_supervised_run_is_not_resumed_on_other_data(tmp_path: Path) -> None:
    source = tmp_path / "x.jsonl"
    source.write_text('{"prompt": "a=", "completion": "b"}\n' * 4)
    recipe = FitRecipe(
        DataConfig(str(source), validation=0),
        tiny=TinyConfig(width=16, layers=1, heads=2, max_length=16),
        rows=2,
        run=RunConfig(out=str(tmp_path / "run"), steps=2, save_every=1),
    )
    fit(recipe)
    for left in (tmp_path / "run" / "checkpoints" / "step-2", tmp_path / "run" / "model"):
        shutil.rmtree(left)  # as if it had been killed after step 1
    source.write_text('{"prompt": "a=", "completion": "c"}\n' * 4)
    with pytest.raises(HoneError, match="the data has changed"):
        fit(recipe, resume=True)
    source.write_text('{"prompt": "a=", "completion": "b"}\n' * 4)
    assert fit(recipe, resume=True).model.exists()
