"""Several attempts at one question, each after a request to try again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import gymnasium

from hone.core.config import named
from hone.core.types import Outcome, Scored, Trajectory, Turn
from hone.envs.base import Step, TextEnv, TextSpace, failed_step
from hone.envs.leaks import refuse_leaks
from hone.envs.questions import Question, QuestionEnv, QuestionTask
from hone.envs.tasks._records import render

TRY_AGAIN = "Your answer is incorrect. Please try again. Here is the question: {question}"
MOST_ACTIONS = 64
"""As many turns as a rollout allows."""


@dataclass(frozen=True)
class Retry:
    """Several attempts at each question of another task: the multi-turn MDP of RISE (arXiv:2407.18219).

    The state is the question, the attempts so far and what was said of each; an action is a whole attempt, its
    reward the inner task's. What is said is always the retry text, whether the attempt was right or not, as in the
    paper's evaluation; ``stop_when_correct`` is the oracle that ends an episode instead (the paper's collection).
    With ``critique`` the model criticises every attempt, which is not graded, before it makes the next one
    (Self-Refine, arXiv:2303.17651).

    The texts may name ``{question}`` (of a conversation its last user message) and any column of the question; one
    that reveals the reference is refused. As first observation the question is asked as the inner task asks it.

    Attributes:
        of: the task whose questions are asked, chosen by name.
        turns: attempts per episode.
        retry: what is said after an attempt.
        separator: what a model without a chat template sees between an attempt and that; a chat template has its own.
        feedback: what is said instead where the grader had something to say (a failing test, a compiler's error):
            ``{feedback}`` is that, ``{retry}`` the retry text. "" never passes it on.
        critique: what asks for a critique after each attempt but the last; "" asks for none.
        window: attempts in view, the one to come included: the question, then the last ``window`` - 1 attempts and
            what was said of them. 1 is the bare question every time, 0 keeps everything.
        overflow: an attempt for which the model's context has no room is a failure that names the question ("fail"),
            or the oldest attempts are left out until ``sampling.max_tokens`` fit ("shorten").
        stop_when_correct: end the episode at the first correct attempt.
        correct: an attempt with at least this reward is correct.
        allow_leak: let the texts reveal the reference.
    """

    of: Any = field(metadata=named("hone.envs.tasks", "task"))
    turns: int = 5
    retry: str = TRY_AGAIN
    separator: str = "\n"
    feedback: str = ""
    critique: str = ""
    window: int = 0
    overflow: Literal["fail", "shorten"] = "fail"
    stop_when_correct: bool = False
    correct: float = 1.0
    allow_leak: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.of, QuestionTask):
            raise ValueError(f"retry is of a task of questions, not of {type(self.of).__name__}")
        if self.turns < 1 or self.window < 0:
            raise ValueError("turns must be at least 1, window at least 0")
        if self.turns * self.stride > MOST_ACTIONS:
            raise ValueError(f"an episode has at most {MOST_ACTIONS} actions, critiques included")
        if self.window == 1 and (self.feedback or self.critique):
            raise ValueError("with window = 1 no attempt sees what was said of the last: no feedback, no critique")

    @property
    def single_turn(self) -> bool:
        """One attempt is the inner task."""
        return self.turns == 1

    @property
    def stride(self) -> int:
        """Actions per attempt."""
        return 2 if self.critique else 1

    def size(self, split: str) -> int:
        """Number of questions in a split."""
        return int(self.of.size(split))

    def stratum(self, episode: int, split: str) -> str:
        """The inner task's kind of question."""
        return str(self.of.stratum(episode, split))

    def env(self, split: str) -> TextEnv:
        """A fresh environment over the split."""
        return RetryEnv(self, split)

    def attempts(self, trajectory: Trajectory) -> Sequence[Turn]:
        """The turns of an episode that are attempts: all but the critiques."""
        return trajectory.turns[:: self.stride]

    def judged(self) -> tuple[Retry, Callable[[Trajectory], Trajectory]]:
        """How episodes are judged: the truth stops none of them, and of several attempts the last counts."""
        return replace(self, stop_when_correct=False), self._last

    def _last(self, trajectory: Trajectory) -> Trajectory:
        """The episode as if its last attempt had been its only one; a failed one as it is."""
        return trajectory if trajectory.failure else replace(trajectory, turns=tuple(self.attempts(trajectory)[-1:]))

    def step_many(self, envs: Sequence[TextEnv], actions: Sequence[str]) -> list[Step]:
        """Grade the attempts among the actions in one call of the inner task, then say in each what comes next."""
        players = [env for env in envs if isinstance(env, RetryEnv)]
        graded = [i for i, env in enumerate(players) if env.attempting]
        found = self.of.step_many([players[i].inner for i in graded], [actions[i] for i in graded])
        inner: Mapping[int, Step] = dict(zip(graded, found, strict=True))
        return [env.go_on(inner.get(i)) for i, env in enumerate(players)]

    def preflight(self) -> None:
        """The inner task's, then look for the reference in what is said.

        Raises:
            HoneError: as the inner task's; a text that reveals the reference, or names no column of the question.
        """
        self.of.preflight()
        texts = {"retry": self.said, "critique": self.asked_for_critique}
        own = {"retry": self.retry != TRY_AGAIN, "critique": bool(self.critique)}
        fixed = {name: text for name, text in texts.items() if own[name]}
        heard = {"feedback": self.said} if self.feedback else {}
        self.said(self.of.questions("train")[0])
        if not self.allow_leak:
            refuse_leaks(self.of, fixed, heard)

    def said(self, question: Question, feedback: str = "") -> str:
        """What follows an attempt, given what its grader had to say."""
        values = {**question.row, "question": asked(question)}
        text = render(self.retry, values)
        if not (self.feedback and feedback):
            return text
        return render(self.feedback, {**values, "retry": text, "feedback": feedback})

    def asked_for_critique(self, question: Question) -> str:
        """What asks for a critique."""
        return render(self.critique, {**question.row, "question": asked(question)})


class RetryEnv(gymnasium.Env[str, str]):
    """One question, several attempts.

    ``info`` of the last step has the inner task's metrics of the last attempt, and ``first``, ``last`` (rewards) and
    ``attempts``.

    Args:
        task: how an episode goes on.
        split: the split whose questions are asked.
    """

    def __init__(self, task: Retry, split: str) -> None:
        self.observation_space, self.action_space = TextSpace(), TextSpace()
        self.task, self.split = task, split
        self.inner = QuestionEnv(task.of, split)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Ask question ``options["episode"]``, or a random one."""
        text, info = self.inner.reset(seed=seed, options=options)
        self._known: Mapping[int, Outcome] = (options or {}).get("outcomes", {})
        self._options = {"episode": info["episode"]}
        self.question = self.task.of.questions(self.split)[info["episode"]]
        self._actions, self._rewards, self._feedback = 0, list[float](), ""
        return text, info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Grade an attempt, or take a critique, and say what comes next."""
        (step,) = self.task.step_many([self], [action])
        reward = step.outcome.value if isinstance(step.outcome, Scored) else float("nan")
        return step.observation, reward, step.terminated, False, {**step.info, "outcome": step.outcome}

    @property
    def attempting(self) -> bool:
        """The next action is an attempt, not a critique."""
        return self._actions % self.task.stride == 0

    def go_on(self, graded: Step | None) -> Step:
        """What follows an attempt, as the inner task has graded it, or a critique (None)."""
        try:
            return self._after_critique() if graded is None else self._after_attempt(graded)
        except Exception as error:
            return failed_step(error)

    def _after_attempt(self, graded: Step) -> Step:
        outcome = self._known.get(self._actions, graded.outcome)
        self._actions += 1
        if not isinstance(outcome, Scored):
            return Step("", outcome, True, False, graded.info)
        self._rewards.append(outcome.value)
        self._feedback = outcome.feedback
        task, made = self.task, len(self._rewards)
        if made == task.turns or (task.stop_when_correct and outcome.value >= task.correct - 1e-9):
            own = {"first": self._rewards[0], "last": self._rewards[-1], "attempts": float(made)}
            metrics = {**graded.info.get("metrics", {}), **own}
            return Step("", outcome, True, False, {**graded.info, "metrics": metrics})
        if task.critique:
            return self._ask(task.asked_for_critique(self.question), outcome)
        return self._ask_again(outcome)

    def _after_critique(self) -> Step:
        self._actions += 1
        return self._ask_again(Scored(0.0))

    def _ask_again(self, outcome: Outcome) -> Step:
        self.inner.reset(options=self._options)
        return self._ask(self.task.said(self.question, self._feedback), outcome)

    def _ask(self, text: str, outcome: Outcome) -> Step:
        task = self.task
        info: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "overflow": task.overflow}
        if task.window:
            info["keep"] = (task.window - 1) * task.stride + self._actions % task.stride
        return Step(task.separator + text, outcome, False, False, info)


def asked(question: Question) -> str:
    """What a question asks: its text, or the last user message of a conversation."""
    if isinstance(question.prompt, str):
        return question.prompt
    users = [str(message["content"]) for message in question.prompt if message["role"] == "user"]
    return users[-1] if users else question.text
