"""Trajectories → batch: provenance becomes masks, outcomes become rewards on the action's last token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from hone.core.batch import Batch
from hone.core.types import Failed, Trajectory


@dataclass(slots=True)
class _Row:
    episode: int
    step: int
    group: int
    terminated: bool
    truncated: bool = False
    tokens: list[int] = field(default_factory=list)
    sampled: list[bool] = field(default_factory=list)
    train: list[bool] = field(default_factory=list)
    turn: list[int] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    logprob: list[float] = field(default_factory=list)

    def extend(self, tokens: Sequence[int], turn: int, sampled: bool, train: bool, logprobs: Sequence[float]) -> None:
        self.tokens += tokens
        self.turn += [turn] * len(tokens)
        self.sampled += [sampled] * len(tokens)
        self.train += [train] * len(tokens)
        self.reward += [0.0] * len(tokens)
        self.logprob += logprobs


def to_batch(trajectories: Sequence[Trajectory], pad_id: int) -> Batch:
    """Rows of a step's trajectories.

    An episode is one row unless a turn restarts the context. The tokens of a failed episode are in no loss, and its
    reward is NaN so that no baseline can use it. Episodes are numbered in the order of ``trajectories``.

    Args:
        trajectories: finished episodes.
        pad_id: filler of the right padding.
    """
    rows: list[_Row] = []
    for number, trajectory in enumerate(trajectories):
        rows += _rows(number, trajectory)
    return _pad(rows, pad_id)


def _rows(number: int, trajectory: Trajectory) -> list[_Row]:
    failed = trajectory.failure is not None
    rows: list[_Row] = []
    for index, turn in enumerate(trajectory.turns):
        if not rows or turn.restart:
            rows.append(_Row(number, len(rows), trajectory.group, trajectory.terminated))
        row, action = rows[-1], turn.action
        row.extend(turn.observation, index, False, False, [0.0] * len(turn.observation))
        row.truncated = action.stop == "length"
        row.extend(action.tokens, index, True, turn.learn and not failed, action.logprobs)
        if row.reward:
            row.reward[-1] = float("nan") if isinstance(turn.outcome, Failed) else turn.outcome.value
    return rows


def _pad(rows: Sequence[_Row], pad_id: int) -> Batch:
    width = max((len(row.tokens) for row in rows), default=0) or 1

    def column(name: str, filler: int | float | bool, dtype: torch.dtype) -> torch.Tensor:
        values = [getattr(row, name) for row in rows]
        padded = [list(v) + [filler] * (width - len(v)) for v in values]
        return torch.tensor(padded, dtype=dtype).reshape(len(rows), width)

    def scalar(name: str, dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor([getattr(row, name) for row in rows], dtype=dtype)

    length = torch.tensor([len(row.tokens) for row in rows], dtype=torch.int64)
    return Batch(
        tokens=column("tokens", pad_id, torch.int64),
        mask=torch.arange(width)[None, :] < length[:, None],
        sampled=column("sampled", False, torch.bool),
        train=column("train", False, torch.bool),
        turn=column("turn", 0, torch.int64),
        reward=column("reward", 0.0, torch.float32),
        behaviour_logprob=column("logprob", 0.0, torch.float32),
        episode=scalar("episode", torch.int64),
        step=scalar("step", torch.int64),
        group=scalar("group", torch.int64),
        terminated=scalar("terminated", torch.bool),
        bootstrap=torch.zeros(len(rows)),
        truncated=scalar("truncated", torch.bool),
    )
