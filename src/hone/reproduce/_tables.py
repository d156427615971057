"""What the classical reproductions share: batches of learners, and walking a greedy policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from hone.core.seeding import generator
from hone.envs.worlds.base import GridWorld
from hone.tabular.learning.environments import ModelEnvironments
from hone.tabular.learning.runner import Runner
from hone.tabular.learning.values import Values
from hone.tabular.outcomes import Outcomes

Make = Callable[[ModelEnvironments, np.random.Generator], Values]
"""Makes the learners of a batch from their environments and their source of chance."""


def batches(
    env: gymnasium.Env[Any, Any],
    make: Make,
    runs: int,
    seeds: Sequence[int],
    name: str,
    limit: int | None = None,
) -> Iterator[tuple[Runner, ModelEnvironments, Values]]:
    """One batch of ``runs`` independent learners per seed, ready to run; ``name`` keys their chance."""
    outcomes = Outcomes.of(env)
    for seed in seeds:
        rng = generator(seed, name)
        environments = ModelEnvironments(outcomes, runs, rng, limit)
        learner = make(environments, rng)
        yield Runner(environments, learner), environments, learner


def greedy_walk(world: GridWorld, policy_S: NDArray[np.int64], limit: int = 100) -> list[tuple[int, int]]:
    """Cells from the start along a policy in a deterministic world, until it ends or loops."""
    state = int(np.argmax(world.initial_state_distrib))
    cells = [world.cell(state)]
    for _ in range(limit):
        _, state, _, ended = world.P[state][int(policy_S[state])][0]
        cells.append(world.cell(state))
        if ended or cells.count(cells[-1]) > 1:
            break
    return cells


def greedy_returns(world: GridWorld, values_NSA: NDArray[np.float64], limit: int = 200) -> NDArray[np.float64]:
    """[N] return of each learner's greedy policy from the start, −∞ where ``limit`` steps do not end it."""
    found = []
    for table in values_NSA:
        state, total, ended = int(np.argmax(world.initial_state_distrib)), 0.0, False
        for _ in range(limit):
            _, state, reward, ended = world.P[state][int(table[state].argmax())][0]
            total += reward
            if ended:
                break
        found.append(total if ended else -np.inf)
    return np.array(found)


def named(values: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """Plain numbers by name, for ``summary.json``."""
    return {name: float(value) for name, value in zip(names, values, strict=True)}
