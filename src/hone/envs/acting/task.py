"""What every task of an acting agent shares; a subclass says what is played and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, cast

from hone.core.errors import HoneError
from hone.core.types import Scored
from hone.envs.acting.aids import Aids
from hone.envs.acting.base import Play, Scene
from hone.envs.acting.env import ActingEnv
from hone.envs.acting.face import Face
from hone.envs.base import Step, TextEnv, failed_step
from hone.envs.split import SPLITS, check_split


@dataclass(frozen=True)
class ActingTask:
    """Episodes in which answers are actions.

    Attributes:
        face: what the agent is shown and how its answer is read.
        aids: what helps it to explore.
        invalid: added to the reward of an answer that names no legal action, in normalised units; a random legal
            action is taken instead.
        normalise: "task": rewards are shifted and divided so that those of a random player have mean 0 and deviation 1;
            "none": as the environment gives them. (The paper does not say how; constants, unlike running moments,
            make an episode's reward a function of the episode.)
        train: number of training episodes.
        test: number of test episodes.
        seed: which episodes there are.
    """

    face: Face = field(default_factory=Face, kw_only=True)
    aids: Aids = field(default_factory=Aids, kw_only=True)
    invalid: float = field(default=-5.0, kw_only=True)
    normalise: Literal["task", "none"] = field(default="task", kw_only=True)
    train: int = field(default=512, kw_only=True)
    test: int = field(default=256, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if self.train < 1 or self.test < 1:
            raise ValueError("train and test must be at least 1")
        if self.invalid > 0:
            raise ValueError(f"invalid is {self.invalid}; a penalty is not positive")
        if self.aids.shuffle and self.aids.try_all:
            raise ValueError("aids.try_all goes through the actions in an order that aids.shuffle takes away")

    single_turn = False

    @property
    def scene(self) -> Scene:
        """Instruction, names of the actions, and the compact form's constants."""
        raise NotImplementedError

    @property
    def turns(self) -> int:
        """The most actions of an episode."""
        raise NotImplementedError

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of a random player's reward."""
        raise NotImplementedError

    def begin(self, split: str, episode: int, sample: int) -> Play:
        """An episode at its first step: which one, and which luck."""
        raise NotImplementedError

    @property
    def max_turns(self) -> int:
        """Answers of an episode: twice its actions where every one is checked."""
        return self.turns * (2 if self.aids.correct else 1)

    @property
    def votes(self) -> int:
        """Answers sampled at every step, of which the majority's counts."""
        return self.aids.votes

    def ballot(self, text: str) -> str | None:
        """The action that an answer names, as it is called there; None where it names none."""
        labels = self.face.labels(self.scene)
        chosen = self.face.read(text, labels)
        return None if chosen is None else labels[chosen]

    def size(self, split: str) -> int:
        """Number of episodes in a split."""
        check_split(split)
        return self.train if split == SPLITS[0] else self.test

    def env(self, split: str) -> TextEnv:
        """A fresh environment over the split."""
        check_split(split)
        return ActingEnv(self, split)

    def step_many(self, envs: Sequence[TextEnv], actions: Sequence[str]) -> list[Step]:
        """Act in several environments of this task; one that raises gives a failed step of its own."""
        steps = []
        for env, action in zip(cast(Sequence[ActingEnv], envs), actions, strict=True):
            try:
                steps.append(env.answer(action))
            except Exception as error:
                steps.append(failed_step(error))
        return steps

    @cached_property
    def plain(self) -> dict[str, int | None]:
        """What the shortest answers are read as: most answers are such, and a look-up is quicker than a pattern.

        Empty where names of actions change.
        """
        labels = () if self.aids.shuffle else self.face.labels(self.scene)
        return {text: self.face.read(text, labels) for text in map(self.face.write, labels)}

    def preflight(self) -> None:
        """Read back every action as the shortest answer names it, and play an episode of the first actions.

        Raises:
            HoneError: the pattern does not read what the instruction asks for, or the environment raised.
        """
        labels = self.face.labels(self.scene)
        for action, label in enumerate(labels):
            answer = self.face.write(label)
            if self.face.read(answer, labels) != action:
                raise HoneError(
                    "the pattern does not read an action in the answer that the agent is asked for",
                    where="task.face.pattern",
                    got=f'"{self.face.pattern}" on "{answer}"',
                    expected="one group that matches the action's name",
                )
        env = ActingEnv(self, SPLITS[0])
        env.reset(seed=0, options={"episode": 0})
        for _ in range(self.max_turns):
            step = env.answer(self.face.write(env.labels[env.play.legal[0]]))
            if not isinstance(step.outcome, Scored):
                raise HoneError("the environment gave no reward", where=type(self).__name__, got=str(step.outcome))
            if step.terminated or step.truncated:
                return

    @cached_property
    def scale(self) -> tuple[float, float]:
        """What is taken from a reward, and what the rest is divided by."""
        if self.normalise == "none":
            return 0.0, 1.0
        mean, deviation = self.moments
        return mean, deviation or 1.0
