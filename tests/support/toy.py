"""A task so small that a run takes seconds, and an untrained model to learn it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from hone.core.types import Failed, Outcome, Scored
from hone.envs.base import Step, TextEnv, TextSpace, step_each

LETTERS = "abcd"


class EchoEnv(gymnasium.Env[str, str]):
    """``turns`` times: say the letter you were shown."""

    def __init__(self, turns: int, fails: bool) -> None:
        self.observation_space, self.action_space = TextSpace(), TextSpace()
        self.turns, self.fails = turns, fails

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.letter, self.turn = LETTERS[(options or {"episode": 0})["episode"] % len(LETTERS)], 0
        return f"{self.letter}=", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        outcome = judge(self.letter, action, self.fails)
        self.turn += 1
        value = outcome.value if isinstance(outcome, Scored) else float("nan")
        return f"{self.letter}=", value, self.turn >= self.turns, False, {"outcome": outcome}


def judge(letter: str, action: str, fails: bool) -> Outcome:
    if fails and action.startswith("#"):
        return Failed("the grader dislikes #", "exception")
    return Scored(float(action.startswith(letter)), {"first": float(action[:1] == letter)}, answer=action[:1])


@dataclass(frozen=True)
class Echo:
    """Echo as a task; both splits show the same four letters. With ``fails`` the grader breaks on "#"."""

    turns: int = 1
    fails: bool = False

    @property
    def single_turn(self) -> bool:
        return self.turns == 1

    def size(self, split: str) -> int:
        return 4

    def env(self, split: str) -> TextEnv:
        return EchoEnv(self.turns, self.fails)

    def step_many(self, envs: Sequence[TextEnv], actions: Sequence[str]) -> list[Step]:
        return step_each(envs, actions)

    def preflight(self) -> None:
        return None

    def corpus(self, n: int, seed: int) -> list[tuple[str, str]]:
        return [(f"{LETTERS[i % 4]}=", LETTERS[(i * 7 + i // 4) % 4]) for i in range(n)]


def tiny_model(folder: Path) -> Path:
    """Write an untrained model over the task's alphabet."""
    from hone.models.tiny import TinyConfig, create_tiny
    from hone.models.tokenizer import char_tokenizer

    policy = create_tiny(
        TinyConfig(width=32, layers=2, heads=2, max_length=64), char_tokenizer([LETTERS + "=#"]), seed=0
    )
    policy.save(folder)
    return folder
