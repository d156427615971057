"""Agents that never name an action: their episodes are chance, and there is nothing to learn from them."""

from __future__ import annotations

from collections.abc import Sequence

from hone.core.errors import HoneError
from hone.core.types import Trajectory


def check_answers(trajectories: Sequence[Trajectory], before: int = 0, enough: int = 100) -> int:
    """Refuse rollouts in which not a single answer names a legal action.

    Tasks whose answers are actions give the share of those that name none as the metric "invalid"; others have none.

    Args:
        trajectories: finished episodes.
        before: answers just before these that named none either: what the check of the last step returned.
        enough: fewer answers than this prove nothing.

    Returns:
        How many answers in a row have named no legal action, these included; 0 if one of these did.

    Raises:
        HoneError: every answer of every episode is invalid; says how many there were and shows one.
    """
    shares = [t.metrics["invalid"] for t in trajectories if "invalid" in t.metrics]
    if not shares or len(shares) < len(trajectories) or min(shares) < 1:
        return 0
    answers = before + sum(len(t.turns) for t in trajectories)
    if answers < enough:
        return answers
    example = trajectories[0].turns[-1].text
    raise HoneError(
        "no answer names a legal action",
        where="task.face",
        got=f"100 % of {answers:,} answers are invalid, for example {example[-200:]!r}",
        expected="answers in which the action can be read",
        do="check face.pattern and sampling.max_tokens, or fine-tune the model on answers first",
    )
