"""What a step's rollouts say: metrics, and the lines of rollouts/step-N.jsonl."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from hone.core.batch import Batch
from hone.core.types import Scored, Trajectory, Turn
from hone.training.selection import by_group, spread


def describe(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Metrics of a step's rollouts.

    ``reward`` and ``reward_std`` over graded episodes; ``failures`` the share that failed; ``zero_signal`` the share
    of groups whose graded rewards are all equal; ``entropy`` the mean of −log p over sampled tokens, an unbiased
    estimate of the sampler's entropy in nats per token; ``truncation_rate`` the share of episodes with a completion
    cut by a length limit; ``length`` sampled tokens per episode; ``tokens`` their sum; ``criterion/NAME`` means.
    """
    graded = [t for t in trajectories if t.failure is None]
    rewards = [t.reward for t in graded]
    logprobs = [p for t in trajectories for turn in t.turns for p in turn.action.logprobs]
    tokens = sum(len(turn.action.tokens) for t in trajectories for turn in t.turns)
    metrics = {
        "reward": statistics.fmean(rewards) if rewards else float("nan"),
        "reward_std": statistics.pstdev(rewards) if rewards else float("nan"),
        "failures": 1 - len(graded) / max(len(trajectories), 1),
        "zero_signal": _zero_signal(graded),
        "entropy": -statistics.fmean(logprobs) if logprobs else 0.0,
        "length": tokens / max(len(trajectories), 1),
        "truncation_rate": statistics.fmean(t.cut for t in trajectories),
        "tokens": float(tokens),
    }
    named: dict[str, list[float]] = {}
    for trajectory in graded:
        for name, value in trajectory.metrics.items():
            named.setdefault(f"environment/{name}", []).append(value)
        for turn in trajectory.turns:
            if isinstance(turn.outcome, Scored):
                for name, value in turn.outcome.criteria.items():
                    named.setdefault(f"criterion/{name}", []).append(value)
    return metrics | {name: statistics.fmean(values) for name, values in sorted(named.items())}


def describe_selection(rolled: Sequence[Trajectory], learnt: Sequence[Trajectory]) -> dict[str, float]:
    """How much of what was rolled out is learnt from: groups of either, and the tokens of groups that are not."""
    chosen = {t.group for t in learnt}
    dropped = (len(turn.action.tokens) for t in rolled if t.group not in chosen for turn in t.turns)
    return {
        "groups_rolled": float(len(by_group(rolled))),
        "groups_learnt": float(len(chosen)),
        "tokens_dropped": float(sum(dropped)),
    }


def _zero_signal(graded: Sequence[Trajectory]) -> float:
    groups = by_group(graded)
    return sum(not spread(group) for group in groups) / max(len(groups), 1)


def rollout_lines(
    step: int, trajectories: Sequence[Trajectory], batch: Batch, tokenizer: PreTrainedTokenizerBase
) -> list[dict[str, Any]]:
    """One plain dictionary per trajectory: text, ids, provenance, reward per criterion and credit per token."""
    advantage = iter(_credits(trajectories, batch))
    return [
        {
            "step": step,
            "episode": t.episode,
            "group": t.group,
            "sample": t.sample,
            "prompt": t.prompt,
            "reward": None if t.failure else t.reward,
            "failed": f"{t.failure.kind}: {t.failure.reason}" if t.failure else None,
            "turns": [_turn_line(turn, next(advantage), tokenizer) for turn in t.turns],
            "metrics": dict(t.metrics),
        }
        for t in trajectories
    ]


def _turn_line(turn: Turn, advantages: list[float], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    scored = turn.outcome if isinstance(turn.outcome, Scored) else None
    return {
        "observation": list(turn.observation),
        "observation_text": tokenizer.decode(list(turn.observation)),
        "tokens": list(turn.action.tokens),
        "pieces": [tokenizer.decode([token]) for token in turn.action.tokens],
        "logprobs": list(turn.action.logprobs),
        "advantages": advantages,
        "text": turn.text,
        "stop": turn.action.stop,
        "reward": scored.value if scored else None,
        "criteria": dict(scored.criteria) if scored else {},
        "feedback": scored.feedback if scored else "",
        "restart": turn.restart,
    }


def _credits(trajectories: Sequence[Trajectory], batch: Batch) -> list[list[float]]:
    """The advantages of every turn's action tokens, in the order of the turns (rows stand in that order)."""
    advantage_BT = batch.need("advantage").tolist()
    row, found = -1, []
    for trajectory in trajectories:
        position = 0
        for number, turn in enumerate(trajectory.turns):
            if number == 0 or turn.restart:
                row, position = row + 1, 0
            start = position + len(turn.observation)
            position = start + len(turn.action.tokens)
            found.append(advantage_BT[row][start:position])
    return found
