"""Episodes of an acting agent for a diagnostic: rolled out whole, or refused with what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from hone.core.errors import HoneError
from hone.core.progress import Progress
from hone.core.seeding import key
from hone.core.types import Trajectory
from hone.engines.base import Engine, Sampling
from hone.envs.acting.task import ActingTask
from hone.models.chat import Renderer
from hone.models.policy import Policy
from hone.rollout.answers import check_answers
from hone.rollout.episodes import Start, rollout

NOISE = "diagnostics"


def played_out(
    engine: Engine,
    policy: Policy,
    task: ActingTask,
    sampling: Sampling,
    episodes: Sequence[int],
    samples: Sequence[int],
    seed: int,
    split: str = "test",
    chunk: int = 2048,
) -> list[Trajectory]:
    """Play every episode to its end.

    Raises:
        HoneError: an environment failed, an episode met the end of the model's context, or no answer names an action.
    """
    starts = [Start(episode, episode, sample) for episode, sample in zip(episodes, samples, strict=True)]
    found: list[Trajectory] = []
    with Progress("playing", len(starts)) as bar:
        for first in range(0, len(starts), chunk):
            part = starts[first : first + chunk]
            found += rollout(
                engine,
                task,
                Renderer(policy.tokenizer),
                part,
                sampling,
                noise=(seed, NOISE),
                split=split,
                max_length=policy.max_length,
            )
            bar.advance(by=len(part))
    for trajectory in found:
        _check_whole(trajectory, policy.max_length)
    check_answers(found)
    return found


def luck(seed: int, episode: int, sample: int) -> int:
    """The seed that :func:`played_out` resets the environment of a playing with."""
    return key(seed, NOISE, "env", episode, sample) % 2**31


def _check_whole(trajectory: Trajectory, limit: int) -> None:
    where, failed = f"episode {trajectory.episode}", trajectory.failure
    if failed is not None and failed.kind != "context":
        raise HoneError("an episode failed", where=where, got=failed.reason)
    if failed is not None or "return" not in trajectory.metrics:
        raise HoneError(
            "an episode is longer than the model's context",
            where=where,
            got=f"{limit} tokens are full after {len(trajectory.info.get('history', ()))} steps",
            do="a shorter horizon, task.face.window, or a model with a longer context",
        )
