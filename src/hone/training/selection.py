"""Which of a step's rollouts are learnt from, and at what reward: dynamic sampling, overlong filter and punishment.

The three are DAPO's (arXiv 2503.14476) and work with every algorithm that compares the samples of a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from hone.core.batch import Batch
from hone.core.types import Outcome, Scored, Trajectory
from hone.training.recipe import Recipe, Truncated


def by_group(trajectories: Sequence[Trajectory]) -> list[list[Trajectory]]:
    """The trajectories of each group, in the order in which the groups first appear."""
    groups: dict[int, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.group, []).append(trajectory)
    return list(groups.values())


def spread(graded: Sequence[Trajectory]) -> bool:
    """The rewards are not all equal, to the precision in which advantages see them."""
    return len({float(np.float32(trajectory.reward)) for trajectory in graded}) > 1


def groups_with_signal(trajectories: Sequence[Trajectory], truncated: Truncated) -> set[int]:
    """The groups that teach something: the rewards in the baseline differ, and one of their rollouts is in the loss.

    Failed rollouts are in no baseline; those that a length limit has cut are as ``truncated`` says.
    """
    found: set[int] = set()
    for group in by_group(trajectories):
        compared = [t for t in group if t.failure is None and not (t.cut and truncated == "exclude")]
        trained = [t for t in compared if truncated == "keep" or not t.cut]
        if trained and spread(compared):
            found.add(group[0].group)
    return found


def select(rolled: Sequence[Trajectory], recipe: Recipe) -> tuple[list[Trajectory], list[Trajectory]]:
    """(everything, what is learnt from), both at their final rewards.

    With ``resample`` what is learnt from are all rollouts of the groups with signal, as the graders' rewards have it;
    a step without any such group learns from its first round, as it would have without.
    """
    batch, trajectories = recipe.batch, list(rolled)
    chosen = {t.group for t in trajectories}
    if batch.resample:
        chosen = groups_with_signal(trajectories, batch.truncated) or set(range(batch.prompts))
    if batch.overlong:
        trajectories = [punish_overlong(t, recipe.sampling.max_tokens, batch.overlong) for t in trajectories]
    return trajectories, [t for t in trajectories if t.group in chosen]


def punish_overlong(trajectory: Trajectory, limit: int, cache: int) -> Trajectory:
    """Every completion's reward less ``clip((n − (limit − cache)) / cache, 0, 1)`` for its n tokens.

    That is 0 up to limit − cache tokens and 1 at the limit; beyond it no completion goes. The punishment stands among
    the criteria as "overlong".
    """

    def punished(outcome: Outcome, tokens: int) -> Outcome:
        if not isinstance(outcome, Scored):
            return outcome
        value = -min(max((tokens - (limit - cache)) / cache, 0.0), 1.0)
        return replace(outcome, value=outcome.value + value, criteria={**outcome.criteria, "overlong": value})

    turns = (replace(t, outcome=punished(t.outcome, len(t.action.tokens))) for t in trajectory.turns)
    return replace(trajectory, turns=tuple(turns))


def leave_out_truncated(batch: Batch, trajectories: Sequence[Trajectory], truncated: Truncated) -> Batch:
    """The batch of these trajectories without the episodes that a length limit has cut, as ``truncated`` says.

    What is masked is in no loss and no denominator; what is excluded also has reward NaN, as if its grader had failed.
    """
    if truncated == "keep":
        return batch
    cut_E = torch.tensor([t.cut for t in trajectories], dtype=torch.bool, device=batch.episode.device)
    cut_B1 = cut_E[batch.episode][:, None]
    batch = batch.with_(train=batch.train & ~cut_B1)
    return batch.with_(reward=batch.reward.masked_fill(cut_B1, torch.nan)) if truncated == "exclude" else batch
