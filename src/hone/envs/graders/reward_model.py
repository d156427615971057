"""A reward model as a grader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from hone.core.resolve import resolve
from hone.core.types import Failed, Outcome, Scored
from hone.envs.graders.base import Columns, Prompt


class Judge(Protocol):
    """What a loader gives: rewards for texts. Of hone's own, :class:`hone.models.reward.RewardModel`."""

    def rewards(self, prompts: Sequence[Prompt], answers: Sequence[str], *, batch_tokens: int) -> list[float]:
        """One reward per answer."""


@dataclass(frozen=True)
class RewardModel:
    """The reward that a model gives to prompt and completion, read as text by its own tokenizer and chat template.

    So its vocabulary need not be the policy's. All completions of a step are scored together. Whatever the policy
    wrote is taken to be complete: the model sees an end token behind it, also where the policy was cut short.

    Attributes:
        path: a directory that ``hone reward`` wrote (a run, or its ``model/``), or a hub id.
        floor: the reward of an empty answer, which no person ever judged; a normalised model has deviation 1.
        clip: rewards are cut to ±clip, the floor too; 0 leaves them.
        batch_tokens: most tokens of one forward pass; memory, never the reward.
        loader: ``package.module:name`` of a function that takes ``path`` and returns something with
            ``rewards(prompts, answers, batch_tokens=...)``.
    """

    path: str
    floor: float = -5.0
    clip: float = 0.0
    batch_tokens: int = 16384
    loader: str = "hone.models.reward_files:load_reward"

    def __post_init__(self) -> None:
        if self.clip < 0 or self.batch_tokens < 1:
            raise ValueError("clip must not be negative, batch_tokens at least 1")
        object.__setattr__(self, "floor", self._clipped(self.floor))

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """One outcome per completion; a reward that is not finite is the model's fault."""
        judged = [i for i, text in enumerate(completions) if text.strip()]
        rewards = self._judge.rewards(
            [prompts[i] for i in judged], [completions[i] for i in judged], batch_tokens=self.batch_tokens
        )
        found = dict(zip(judged, rewards, strict=True))
        return [self._outcome(found[i]) if i in found else Scored(self.floor) for i in range(len(completions))]

    def _outcome(self, reward: float) -> Outcome:
        if not math.isfinite(reward):
            return Failed(f"the reward model gave {reward}", "not_finite")
        return Scored(self._clipped(reward))

    def _clipped(self, reward: float) -> float:
        return max(-self.clip, min(reward, self.clip)) if self.clip else reward

    @cached_property
    def _judge(self) -> Judge:
        # The model lives on a higher floor than graders: only its name is known here.
        judge: Judge = resolve(self.loader, "hone.models", "loader")(self.path)
        return judge
