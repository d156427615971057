"""Agents in the online loop: they learn, go on after a crash to the same bits, and are stopped where nothing works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stopping import timeless

from hone import PPO, RLFT, load, train
from hone.core.errors import HoneError
from hone.envs.acting.aids import Aids
from hone.envs.acting.face import Face
from hone.envs.arms import Gaussian
from hone.envs.tasks.bandit import Bandit
from hone.envs.tasks.tictactoe import TicTacToe
from hone.models.policy import Policy
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer
from hone.training.online import OnlineLoop

COMPACT = Face("compact")
EASY = Bandit(arms=3, horizon=6, gaussian=Gaussian((0.0, 0.5, 1.0), noise=0.1), face=COMPACT, train=8)
SETTINGS: dict[str, Any] = {"prompts": 4, "samples": 8, "updates": 2, "lr": 1e-2, "max_tokens": 1, "save_every": 2}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tokenizer = char_tokenizer("abcdefghi|GT0123456789")
    create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=64), tokenizer, seed=0).save(tmp_path / "base")
    return tmp_path / "base"


def test_reward_to_go_finds_the_best_arm(model: Path, tmp_path: Path) -> None:
    run = train(str(model), EASY, RLFT(beta=0.0), out=str(tmp_path / "run"), steps=25, **SETTINGS)
    regret = [row["environment/regret"] for row in run.metrics]
    assert regret[0] > 2.5  # three from a random player
    assert np.mean(regret[-5:]) < 0.8
    assert run.metrics[-1]["environment/invalid"] < run.metrics[0]["environment/invalid"]


def test_a_run_of_agents_goes_on_to_the_same_bits(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Bandit(arms=3, horizon=5, face=COMPACT, train=8, aids=Aids(epsilon=0.2, bonus=0.5))
    algorithm = RLFT(baseline="none", entropy_weight=0.01)  # random steps leave no step that episodes share
    options: dict[str, Any] = {**SETTINGS, "steps": 5, "seed": 4}
    whole = train(str(model), task, algorithm, out=str(tmp_path / "whole"), **options)
    take = OnlineLoop.step

    def breaks(self: OnlineLoop, step: int) -> dict[str, float]:
        if step == 4:
            self.rollouts(step)  # journalled, not learnt from
            raise KeyboardInterrupt
        return take(self, step)

    monkeypatch.setattr(OnlineLoop, "step", breaks)
    with pytest.raises(KeyboardInterrupt):
        train(str(model), task, algorithm, out=str(tmp_path / "cut"), **options)
    monkeypatch.undo()
    cut = train(str(model), task, algorithm, out=str(tmp_path / "cut"), resume=True, **options)

    assert timeless(cut.metrics) == timeless(whole.metrics)
    name = "model.safetensors"
    assert (cut.model / name).read_bytes() == (whole.model / name).read_bytes()


def test_games_of_different_lengths_are_learnt_by_a_critic(model: Path, tmp_path: Path) -> None:
    algorithm = PPO(clock="turn", value_weight=0.5)
    options: dict[str, Any] = {**SETTINGS, "prompts": 16, "samples": 1, "steps": 3}
    run = train(str(model), TicTacToe(face=COMPACT, train=64), algorithm, out=str(tmp_path / "run"), **options)
    first = run.metrics[0]
    assert -1 <= first["environment/return"] <= 1
    assert 3 <= first["length"] <= 5  # a letter a turn
    assert np.isfinite([row["value"] for row in run.metrics]).all()
    assert isinstance(load(str(run.model)), Policy)


def test_a_pattern_that_matches_nothing_stops_the_run(model: Path, tmp_path: Path) -> None:
    face = Face("compact", pattern="x?(never)?")
    with pytest.raises(HoneError, match="does not read an action"):
        train(str(model), Bandit(face=face), RLFT(), out=str(tmp_path / "run"), steps=2, **SETTINGS)
    mute = create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=192), char_tokenizer("|G0123456789"), seed=0)
    mute.save(tmp_path / "mute")  # has no letters
    with pytest.raises(HoneError, match=r"100 % of 200 answers are invalid, for example '.?'"):
        train(str(tmp_path / "mute"), Bandit(face=COMPACT), RLFT(), out=str(tmp_path / "run"), steps=2, **SETTINGS)
    # Where a step has few answers those of several steps are counted together.
    few = Bandit(horizon=2, face=COMPACT)
    with pytest.raises(HoneError, match=r"100 % of 1[0-9]{2} answers are invalid"):
        train(str(tmp_path / "mute"), few, RLFT(), out=str(tmp_path / "few"), steps=60, **SETTINGS)


def test_an_episode_longer_than_the_context_stops_the_run(model: Path, tmp_path: Path) -> None:
    task = Bandit(arms=3, horizon=60, face=COMPACT)
    with pytest.raises(HoneError, match=r"every rollout of the preflight failed.*tokens, the context only 64"):
        train(str(model), task, RLFT(), out=str(tmp_path / "run"), steps=2, **SETTINGS)


def test_random_steps_are_refused_where_answers_are_compared(model: Path, tmp_path: Path) -> None:
    """The second answer of one episode may be the fifth step, that of another the second."""
    with pytest.raises(HoneError, match="random steps put at different steps"):
        train(str(model), Bandit(aids=Aids(epsilon=0.1)), RLFT(), out=str(tmp_path / "run"), steps=2, **SETTINGS)
