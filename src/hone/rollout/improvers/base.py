"""An improver gives an answer in the policy's place: a teacher's, or the best of several of the policy's own.

An improver is one file of this package (or ``package.module:Name``): a frozen dataclass whose fields are its options
and whose method ``improve`` answers at every place it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from hone.core.types import Failed, Outcome
from hone.data.attempts import Attempt
from hone.engines.base import Engine, Sampling
from hone.envs.questions import Question, QuestionTask
from hone.models.chat import Renderer


@dataclass(frozen=True, slots=True)
class Place:
    """Where the policy was: what it had been asked, what it had tried, and what it was told of that.

    Attributes:
        episode: which question.
        question: the question.
        context: the ids the policy was given.
        attempts: what it had tried and could see, oldest first.
        said: what followed each of them.
        noise: key of what is drawn here.
    """

    episode: int
    question: Question
    context: tuple[int, ...]
    attempts: tuple[Attempt, ...]
    said: tuple[str, ...]
    noise: int

    def messages(self) -> list[dict[str, Any]]:
        """The conversation so far, for somebody else to go on with."""
        prompt = self.question.prompt
        found = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(each) for each in prompt]
        for attempt, said in zip(self.attempts, self.said, strict=True):
            found += [{"role": "assistant", "content": attempt.text}, {"role": "user", "content": said}]
        return found


@dataclass(frozen=True)
class Desk:
    """What improvers work with.

    Attributes:
        engine: samples from the policy.
        renderer: its text to ids and back.
        sampling: how the policy draws.
        task: whose questions are asked; it grades.
        split: the split of the episodes.
        graded: every outcome of :meth:`grade` with its place, failures among them, in order.
    """

    engine: Engine
    renderer: Renderer
    sampling: Sampling
    task: QuestionTask
    split: str = "train"
    graded: list[tuple[Place, Outcome]] = field(default_factory=list)

    def grade(self, places: Sequence[Place], answers: Sequence[str]) -> list[Outcome]:
        """The outcomes of single answers to the questions of places."""
        envs = [self.task.env(self.split) for _ in places]
        for env, place in zip(envs, places, strict=True):
            env.reset(options={"episode": place.episode})
        outcomes = [step.outcome for step in self.task.step_many(envs, answers)]
        self.graded.extend(zip(places, outcomes, strict=True))
        return outcomes

    def written(self, places: Sequence[Place], texts: Sequence[str | None], source: str) -> list[Attempt | None]:
        """Graded attempts of texts that another than the policy wrote; None where it wrote nothing."""
        there = [i for i, text in enumerate(texts) if text and text.strip()]
        outcomes = self.grade([places[i] for i in there], [str(texts[i]) for i in there])
        found: list[Attempt | None] = [None] * len(texts)
        for i, outcome in zip(there, outcomes, strict=True):
            text = str(texts[i])
            found[i] = Attempt(text, tuple(self.renderer.answer(text)), reward_of(outcome), source)
        return found


class Improver(Protocol):
    """Answers in the policy's place."""

    def improve(self, places: Sequence[Place], desk: Desk) -> list[Attempt | None]:
        """One answer per place, None where there is none. All draws are keyed by the places' ``noise``.

        Raises:
            HoneError: nobody answers.
        """


@runtime_checkable
class Checks(Protocol):
    """An improver that can tell before anything is sampled whether it can answer a task's questions."""

    def check(self, task: QuestionTask) -> None:
        """Nothing where it can.

        Raises:
            HoneError: it cannot.
        """


def reward_of(outcome: Outcome) -> float | None:
    """The reward, None where the grader failed."""
    return None if isinstance(outcome, Failed) else outcome.value
