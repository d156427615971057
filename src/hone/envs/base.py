"""Tasks and environments with a text face.

An environment is a ``gymnasium.Env`` whose observations and actions are strings. A *task* is an indexed family
of episodes in splits: what a recipe names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np

from hone.core.types import Failed, Outcome


class TextSpace(gymnasium.Space[str]):
    """All Unicode strings (``gymnasium.spaces.Text`` allows a fixed alphabet and length only)."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=(), dtype=None, seed=seed)

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """A short random string of printable ASCII."""
        return "".join(chr(c) for c in self.np_random.integers(32, 127, size=8))

    def contains(self, x: Any) -> bool:
        """Any ``str`` is in the space."""
        return isinstance(x, str)


TextEnv = gymnasium.Env[str, str]
"""``reset(options={"episode": i})`` starts the i-th episode of its split. ``step`` puts the :class:`Outcome` of the
action into ``info["outcome"]``; the reward it returns is ``outcome.value``, or NaN where the grader failed. A prompt
that is a conversation stands in ``info["messages"]`` of ``reset`` (role/content dictionaries).
``reset(options={"outcomes": {turn: outcome}})`` tells what was journalled of these turns before a crash: an environment
whose answer depends on an outcome takes it from there, so that a resumed episode goes on as it went."""

CONTROLS = ("messages", "keep", "anew", "overflow", "learn")
"""Keys of a step's ``info`` that speak to the rollout, see :class:`Step`."""


class Step(NamedTuple):
    """What ``gymnasium.Env.step`` returns, named.

    Some keys of ``info`` speak to the rollout:

    - ``messages``: what a model with a chat template sees in place of ``observation`` (role/content dictionaries).
    - ``keep``: the next context is the opening and the last so many pairs (action, the observation that answered it),
      this one included; without it the context goes on. What it leaves out makes a context that does not extend the
      last one, so it begins a new row.
    - ``anew``: the observation is the whole of the next context, which begins a new row; nothing that was said or
      sampled before is in it.
    - ``learn``: False for an action that is not to be learnt from, though the policy sampled it.
    - ``overflow``: what happens where the next context leaves no room for an action. "truncate" (the default) ends the
      episode, "fail" makes it :class:`Failed`, "shorten" leaves out the oldest pairs until ``max_tokens`` of the
      sampling fit, and fails where even the opening alone is too long.
    """

    observation: str
    outcome: Outcome
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class Task(Protocol):
    """An indexed family of episodes, each in one split."""

    @property
    def single_turn(self) -> bool:
        """Every episode is one observation and one action: the rollout may grade a whole step at once."""

    def size(self, split: str) -> int:
        """Number of distinct episodes in ``"train"`` or ``"test"``; the two never share content.

        Raises:
            HoneError: there is no such split.
        """

    def env(self, split: str) -> TextEnv:
        """A fresh environment over the split."""

    def step_many(self, envs: Sequence[TextEnv], actions: Sequence[str]) -> list[Step]:
        """Act in several environments at once: what a batch grader wants. Equal to stepping each.

        One environment's fault is its own failed step; an exception fails all of them.
        """

    def preflight(self) -> None:
        """Call every reward once on a known answer.

        Raises:
            HoneError: one of them raises, returns NaN or nothing, or does not return in time.
        """


def step_each(envs: Sequence[TextEnv], actions: Sequence[str]) -> list[Step]:
    """The plain ``step_many``: one environment after the other; one that raises gives a failed step of its own."""
    return [_step(env, action) for env, action in zip(envs, actions, strict=True)]


def failed_step(error: Exception) -> Step:
    """The end of an episode whose environment raised."""
    return Step("", Failed(f"the environment raised {error!r}", "exception"), True, False, {})


def _step(env: TextEnv, action: str) -> Step:
    try:
        observation, _, terminated, truncated, info = env.step(action)
        return Step(observation, info["outcome"], terminated, truncated, {k: info[k] for k in info if k != "outcome"})
    except Exception as error:
        return failed_step(error)
