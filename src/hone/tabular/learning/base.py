"""What passes between the runner, the environments and a learner: arrays with one entry per active run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hone.tabular.mdp import Bools, Floats, Ints


@dataclass(slots=True)
class Transition:
    """One step of K runs; every array is [K] and no run occurs twice.

    Attributes:
        run: which of the N runs.
        state, action, reward, next_state: what happened.
        terminated: the episode ended; ``truncated``: a limit cut it (Gymnasium's words).
        next_action: what the behaviour does next; meaningful only for learners that are ``on_policy``.
    """

    run: Ints
    state: Ints
    action: Ints
    reward: Floats
    next_state: Ints
    terminated: Bools
    truncated: Bools
    next_action: Ints


class Environments(Protocol):
    """N independent copies of a discrete environment."""

    runs: int
    states: int
    actions: int

    def reset(self, run_K: Ints) -> Ints:
        """Start an episode in each of these runs and return the first states [K]."""

    def step(self, run_K: Ints, state_K: Ints, action_K: Ints) -> tuple[Ints, Floats, Bools, Bools]:
        """Next states, rewards, terminated and truncated, [K] each."""


class Learner(Protocol):
    """N independent learners of one kind.

    Attributes:
        on_policy: the runner takes the next action BEFORE learning, and keeps to it.
        lock_step: runs wait for each other at the end of an episode, then ``end_episodes`` is called.
    """

    on_policy: bool
    lock_step: bool

    def act(self, run_K: Ints, state_K: Ints) -> Ints:
        """Actions [K] of the behaviour policy."""

    def learn(self, transition: Transition) -> None:
        """Take in one step."""

    def end_episodes(self) -> None:
        """All runs have ended their episode (``lock_step`` only)."""
