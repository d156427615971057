"""Questions: one observation, one answer, one reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import gymnasium
from gymnasium.error import ResetNeeded

from hone.core.errors import HoneError
from hone.core.types import Outcome, Scored
from hone.envs.base import Step, TextEnv, TextSpace, failed_step
from hone.envs.graders.base import Grader, Prompt, guarded, preflight_grader
from hone.envs.split import SPLITS, check_split


@dataclass(frozen=True)
class Question:
    """A prompt and how its answers are judged.

    Attributes:
        prompt: text, or a conversation (role/content dictionaries) that ends with the user's message.
        answer: the reference, what graders find in the column ``answer``; "" where there is none.
        columns: the other columns of the record.
        known: a whole completion known to be good, for preflight; the reference if empty.
    """

    prompt: Prompt
    answer: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)
    known: str = ""

    @property
    def row(self) -> dict[str, Any]:
        """All columns: those of the record and ``answer``."""
        return {**self.columns, "answer": self.answer}

    @property
    def text(self) -> str:
        """The prompt as one text (of a conversation the contents, line by line)."""
        if isinstance(self.prompt, str):
            return self.prompt
        return "\n".join(str(message["content"]) for message in self.prompt)


class QuestionEnv(gymnasium.Env[str, str]):
    """One question per episode: ``reset`` asks, ``step`` grades the answer and ends the episode.

    ``info`` of ``reset`` holds ``episode`` and, for a conversation, ``messages``; that of ``step``
    ``outcome`` and ``metrics``. The reward is NaN where the grader failed.

    Args:
        task: where questions and graders come from.
        split: the split whose episodes are played.
    """

    def __init__(self, task: QuestionTask, split: str) -> None:
        self.observation_space = TextSpace()
        self.action_space = TextSpace()
        self.task, self.split = task, split
        self._question: Question | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Ask question ``options["episode"]``, or a random one."""
        episode = (options or {}).get("episode")
        # Making a generator costs more than all the rest, and a named episode draws nothing.
        super().reset(seed=seed if episode is None else None)
        count = self.task.size(self.split)
        if episode is None:
            episode = int(self.np_random.integers(count))
        if not 0 <= episode < count:
            raise HoneError("there is no such episode", got=str(episode), expected=f"0 to {count - 1}")
        self._question = question = self.task.questions(self.split)[episode]
        info: dict[str, Any] = {"episode": episode}
        if not isinstance(question.prompt, str):
            info["messages"] = [dict(message) for message in question.prompt]
        return question.text, info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Grade the answer."""
        (step,) = self.task.step_many([self], [action])
        reward = step.outcome.value if isinstance(step.outcome, Scored) else float("nan")
        return step.observation, reward, True, False, {**step.info, "outcome": step.outcome}

    def take(self) -> Question:
        """The open question, which this closes."""
        if self._question is None:
            raise ResetNeeded("reset the environment before every answer: an episode is one question")
        question, self._question = self._question, None
        return question


class QuestionTask:
    """What every task of single questions shares; a subclass makes the questions and names the grader."""

    single_turn: bool = True

    def build(self, split: str) -> Sequence[Question]:
        """Every question of ``"train"`` or ``"test"``; called once per split."""
        raise NotImplementedError

    @property
    def grader(self) -> Grader:
        """What judges the answers."""
        raise NotImplementedError

    def metrics(self, question: Question, answer: str) -> dict[str, float]:
        """Numbers about an answer beside its reward; they become the trajectory's metrics."""
        return {}

    def stratum(self, episode: int, split: str) -> str:
        """The kind of question, by which an evaluation is broken down; "" for none."""
        return ""

    def questions(self, split: str) -> Sequence[Question]:
        """The questions of a split, in the order of their episodes.

        Raises:
            HoneError: there is no such split, or it is empty.
        """
        check_split(split)
        if split not in self._built:
            self._built[split] = self.build(split)
        if not self._built[split]:
            raise HoneError(f"the {split} split holds no question", got=type(self).__name__)
        return self._built[split]

    def size(self, split: str) -> int:
        """Number of questions in a split."""
        return len(self.questions(split))

    def env(self, split: str) -> TextEnv:
        """A fresh environment over the split."""
        check_split(split)
        return QuestionEnv(self, split)

    def step_many(self, envs: Sequence[TextEnv], actions: Sequence[str]) -> list[Step]:
        """Grade the answers of several environments of this task in one call."""
        taken = [env.take() for env in envs if isinstance(env, QuestionEnv)]
        rows = [question.row for question in taken]
        names = {name: None for row in rows for name in row}
        columns = {name: [row.get(name) for row in rows] for name in names}
        outcomes = guarded(self.grader, [question.prompt for question in taken], actions, columns)
        return [self._step(q, a, o) for q, a, o in zip(taken, actions, outcomes, strict=True)]

    def preflight(self) -> None:
        """Build the training split and grade a known answer.

        Raises:
            HoneError: no training question, or the reward fails on a known answer.
        """
        first = self.questions(SPLITS[0])[0]
        preflight_grader(self.grader, first.prompt, first.known or first.answer, first.row)

    def _step(self, question: Question, answer: str, outcome: Outcome) -> Step:
        try:
            return Step("", outcome, True, False, {"metrics": self.metrics(question, answer)})
        except Exception as error:
            return failed_step(error)

    @cached_property
    def _built(self) -> dict[str, Sequence[Question]]:
        return {}
