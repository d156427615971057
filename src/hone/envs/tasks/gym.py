"""Any Gymnasium environment with numbered actions, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from hone.core.errors import HoneError
from hone.core.seeding import key
from hone.envs.acting.base import Moved, Scene
from hone.envs.acting.names import action_names
from hone.envs.acting.task import ActingTask


@dataclass(frozen=True)
class Gym(ActingTask):
    """An environment by its id, such as ``FrozenLake-v1`` or ``hone/Cliff-v0``.

    Observations are written as they print, actions have numbers or the names that are given. Legal actions are those
    of ``info["action_mask"]`` where the environment has one. Every episode has a seed of its own.

    Attributes:
        id: of a registered environment.
        options: arguments of its constructor.
        instruction: what the agent is told; none is a sentence with the id and the names of the actions.
        names: of the actions, in their order; none is their numbers.
        limit: an episode of this many steps is truncated.
    """

    id: str
    options: Mapping[str, Any] = field(default_factory=dict)
    instruction: str = ""
    names: tuple[str, ...] = ()
    limit: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.limit < 1:
            raise ValueError(f"limit is {self.limit}; an episode has at least one step")
        if self.face.style == "guided":
            raise ValueError('face.style "guided" is for bandits')
        if self.aids.try_all:
            raise ValueError("aids.try_all: an action may mean something else in every state")

    @cached_property
    def scene(self) -> Scene:
        """The instruction, or one made of the id and the actions."""
        space = self.make().action_space
        assert isinstance(space, gymnasium.spaces.Discrete)
        names = self.names or action_names("continuous", int(space.n))
        if len(names) != space.n:
            raise HoneError(
                "the actions have too many or too few names",
                where="task.names",
                got=f"{len(names)} names",
                expected=f"{space.n}",
            )
        told = self.instruction or (
            f"You act in the environment {self.id}. The actions are {', '.join(names)}. Each step shows the state, "
            f"and you choose an action. Your goal is to maximise the total reward of at most {self.limit} steps."
        )
        return Scene(told, names, "G|", None)

    @property
    def turns(self) -> int:
        """The limit."""
        return self.limit

    @property
    def moments(self) -> tuple[float, float]:
        """Rewards are used as they are."""
        return 0.0, 1.0

    def make(self) -> gymnasium.Env[Any, Any]:
        """A fresh environment.

        Raises:
            HoneError: there is none of that id, its options are wrong, or its actions are not numbered from 0.
        """
        try:
            env = gymnasium.make(self.id, **self.options)
        except Exception as error:
            message = str(error).splitlines()[0]
            raise HoneError("the environment cannot be made", where="task.id", got=f'"{self.id}": {message}') from error
        space = env.action_space
        if not isinstance(space, gymnasium.spaces.Discrete) or space.start != 0:
            raise HoneError(
                "the actions of this environment are not numbered from 0",
                where=f'task.id "{self.id}"',
                got=str(space),
                expected="Discrete(n)",
            )
        return env

    def begin(self, split: str, episode: int, sample: int) -> Walk:
        """An environment after its reset."""
        seed = key(self.seed, "gym", split, episode, sample) % 2**31
        return Walk(self.make(), seed, len(self.scene.names), self.limit)


class Walk:
    """One episode of a Gymnasium environment."""

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int, actions: int, limit: int) -> None:
        self._env, self._all, self._left = env, range(actions), limit
        observation, info = env.reset(seed=seed)
        self._see(observation, info)

    def act(self, action: int) -> Moved:
        """One step."""
        observation, reward, terminated, truncated, info = self._env.step(action)
        self._left -= 1
        self._see(observation, info)
        return Moved(float(reward), bool(terminated), bool(truncated) or (self._left == 0 and not terminated))

    def _see(self, observation: Any, info: Mapping[str, Any]) -> None:
        self.state = _written(observation)
        self.compact = f"{self.state}:"
        mask = info.get("action_mask")
        allowed: Sequence[int] = self._all if mask is None else [int(a) for a in np.flatnonzero(mask)]
        self.legal = allowed or self._all  # an episode that is over may allow nothing


def _written(observation: Any) -> str:
    if isinstance(observation, np.ndarray) and observation.dtype.kind == "f":
        return f"({', '.join(f'{x:.2f}' for x in observation.ravel().tolist())})"
    if isinstance(observation, np.ndarray):
        return f"({', '.join(map(str, observation.ravel().tolist()))})"
    return str(observation)
