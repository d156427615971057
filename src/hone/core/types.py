"""The nouns: what was sampled, how it was judged, and the episode both belong to.

Tokens are stored as the ids that were sampled and are never decoded and encoded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

StopReason = Literal["end", "stop", "length"]
"""Why a completion ended: the policy's end token, a stop sequence, or the token limit (truncated)."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A grader's verdict. An answer that is wrong, unparsable or crashes is Scored too, at the grader's floor.

    Attributes:
        value: the reward.
        criteria: the value of every criterion of a rubric, before its weight.
        answer: the answer the grader read out of the text, for voting (maj@k); "" where there is none.
        feedback: a message for the policy's next attempt (a failing test, a compiler's error).
    """

    value: float
    criteria: Mapping[str, float] = field(default_factory=dict)
    answer: str = ""
    feedback: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The grader's own fault: no reward exists. Counted and logged, never a silent 0, never in a baseline.

    The kind "context" is nobody's fault but the recipe's: the model's context had no room for an answer.
    """

    reason: str
    kind: Literal["exception", "not_finite", "timeout", "gone", "context"]


Outcome = Scored | Failed


@dataclass(frozen=True, slots=True)
class Completion:
    """What the policy sampled in one go.

    Attributes:
        tokens: sampled ids; the end token is the last of them iff it was sampled.
        logprobs: log-probability of each id under the distribution it was drawn from.
        stop: why sampling stopped.
        policy_version: number of optimiser steps the sampling weights had seen.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    stop: StopReason
    policy_version: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """One observation, the action that answered it, and its outcome.

    Attributes:
        observation: only the tokens that are NEW in this turn; with ``restart`` the whole context.
        action: the policy's completion.
        text: the action as text, decoded once, for environments, graders and people.
        outcome: the reward of this turn.
        restart: this turn's context is not an extension of the last one (sliding window, re-rendered history):
            it starts a new row.
        learn: the action's tokens are in the loss.
    """

    observation: tuple[int, ...]
    action: Completion
    text: str
    outcome: Outcome
    restart: bool = False
    learn: bool = True


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One episode.

    Attributes:
        episode: index of the episode's content in its task and split (which question).
        group: rollouts of the same content in one step share it; baselines are taken within it.
        sample: which rollout of the group this is.
        terminated: the environment ended it; ``truncated``: a limit did (Gymnasium's words).
        metrics: what the environment reports at the end.
        prompt: the first observation as text, for people.
        info: the environment's last ``info`` without the outcome.
    """

    episode: int
    group: int
    sample: int
    turns: tuple[Turn, ...]
    terminated: bool = True
    truncated: bool = False
    prompt: str = ""
    final_observation: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failure(self) -> Failed | None:
        """The first failed outcome; a failed episode is trained on by nobody."""
        return next((t.outcome for t in self.turns if isinstance(t.outcome, Failed)), None)

    @property
    def cut(self) -> bool:
        """A length limit ended one of its completions."""
        return any(turn.action.stop == "length" for turn in self.turns)

    @property
    def reward(self) -> float:
        """Sum of the turns' rewards; NaN if any of them failed."""
        return sum(t.outcome.value if isinstance(t.outcome, Scored) else float("nan") for t in self.turns)
