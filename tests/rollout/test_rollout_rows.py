"""Trajectories → batch, against rows written out by hand."""

from __future__ import annotations

import math

import torch

from hone.core.types import Completion, Failed, Outcome, Scored, Trajectory, Turn
from hone.rollout.rows import to_batch

PAD = 9


def turn(observation: tuple[int, ...], action: tuple[int, ...], outcome: Outcome, *, restart: bool = False) -> Turn:
    logprobs = tuple(-0.1 * token for token in action)
    return Turn(observation, Completion(action, logprobs, "end"), "", outcome, restart)


def test_every_column_of_two_turns_a_restart_and_a_failure() -> None:
    batch = to_batch(
        [
            Trajectory(7, 3, 0, (turn((1, 2), (3,), Scored(0.5)), turn((4,), (5, 6), Scored(-1.0)))),
            Trajectory(
                7,
                3,
                1,
                (turn((1,), (2,), Scored(1.0)), turn((3, 4), (5,), Scored(2.0), restart=True)),
                terminated=False,
            ),
            Trajectory(8, 4, 0, (turn((1,), (2, 3), Failed("late", "timeout")),)),
        ],
        PAD,
    )
    assert batch.tokens.tolist() == [
        [1, 2, 3, 4, 5, 6],
        [1, 2, PAD, PAD, PAD, PAD],
        [3, 4, 5, PAD, PAD, PAD],
        [1, 2, 3, PAD, PAD, PAD],
    ]
    assert batch.mask.sum(-1).tolist() == [6, 2, 3, 3]
    assert batch.sampled.int().tolist() == [
        [0, 0, 1, 0, 1, 1],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
    ]
    assert batch.train.int().tolist() == [*batch.sampled.int().tolist()[:3], [0] * 6]
    assert batch.turn.tolist() == [[0, 0, 0, 1, 1, 1], [0] * 6, [1, 1, 1, 0, 0, 0], [0] * 6]
    assert batch.reward[:3].tolist() == [[0, 0, 0.5, 0, 0, -1], [0, 1, 0, 0, 0, 0], [0, 0, 2, 0, 0, 0]]
    assert [math.isnan(x) for x in batch.reward[3].tolist()] == [False, False, True, False, False, False]
    assert torch.allclose(batch.behaviour_logprob, -0.1 * batch.tokens * batch.sampled)
    assert batch.episode.tolist() == [0, 1, 1, 2]
    assert batch.step.tolist() == [0, 0, 1, 0]
    assert batch.group.tolist() == [3, 3, 3, 4]
    assert batch.terminated.tolist() == [True, False, False, True]
    assert batch.bootstrap.tolist() == [0, 0, 0, 0]


def test_an_episode_that_never_began_is_an_empty_row() -> None:
    batch = to_batch([Trajectory(0, 0, 0, (turn((), (), Failed("reset", "exception")),))], PAD)
    assert batch.tokens.tolist() == [[PAD]]
    assert not batch.mask.any()
    assert not batch.train.any()
