"""What helps an agent to explore (RLFT, arXiv 2504.16078, section 4.3). All of it is off by default.

Aids act through what the agent sees, never through what it is trained on: an action that an aid takes is part of the
next observation, so no token that the policy did not sample is learnt as if it had.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Aids:
    """Exploration aids; temperature is ``sampling.temperature``, the entropy bonus ``algorithm.entropy_weight``.

    Attributes:
        try_all: every episode begins with each action once, in order, before the agent is asked (only where every
            action is legal from the start).
        epsilon: before each of its steps, the probability that a random legal action is taken instead of asking the
            agent (in training and in evaluation). The agent is asked at least once in every episode.
        shuffle: labels of actions are permuted anew at every step, so no name stands for an action.
        correct: after each answer the agent is asked to check it and to answer again; only that answer counts and is
            learnt.
        bonus: extra reward, in normalised units, for an action not yet tried in this episode (the paper: 1).
        votes: so many answers are sampled at every step, and the first of those that name the commonest action is the
            agent's (self-consistency); in training this needs ``allow_truncated_sampling``.
    """

    try_all: bool = False
    epsilon: float = 0.0
    shuffle: bool = False
    correct: bool = False
    bonus: float = 0.0
    votes: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < 1:
            raise ValueError(f"aids.epsilon is {self.epsilon}; it must be a probability below 1")
        if self.votes < 1:
            raise ValueError(f"aids.votes is {self.votes}; it must be at least 1")
        if self.bonus < 0:
            raise ValueError(f"aids.bonus is {self.bonus}; it must not be negative: that would punish exploring")
