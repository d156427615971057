"""The majority vote over the attempts of one run, in their order, and who weighs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hone.envs.graders.rubric import as_grader

Ties = Literal["latest", "earliest", "lot"]
"""Which of several answers with equally many votes wins: the one that was given last, the one that was given first, or
one by lot, in expectation."""


@dataclass(frozen=True)
class VoteConfig:
    """How the attempts at a question vote.

    Attributes:
        ties: which of the answers with equally many votes of a run wins: the one given "latest", "earliest", or one by
            "lot". Parallel answers have no order: always by lot.
        judge: a grader, by name or table, whose value r of an attempt weighs its vote by exp(r): a reward model, or
            whatever looks at prompt and text alone. Adding a constant to all values changes nothing. None weighs by 1
            alone.
    """

    ties: Ties = "latest"
    judge: Any = None

    def __post_init__(self) -> None:
        """Find the judge."""
        if self.judge is not None:
            object.__setattr__(self, "judge", as_grader(self.judge))


@dataclass(slots=True)
class _Candidate:
    votes: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    first: int = 0
    last: int = 0


def vote(
    answers: Sequence[str],
    correct: Sequence[bool],
    ties: Ties = "latest",
    weights: Sequence[float] | None = None,
) -> float:
    """Whether the answer with most votes is right.

    Equal strings are one candidate. The empty answer (none could be read) abstains; where all abstain the vote is
    wrong. A candidate whose attempts were graded differently counts by the share of them that were correct. The RISE
    paper leaves ties open. Without order, over all subsets of samples: :func:`hone.evaluate.estimates.maj_at_k`.

    Args:
        answers: [n], what each attempt answered, in order.
        correct: [n], whether that was right.
        ties: which of the candidates with most votes wins.
        weights: [n], what each vote weighs; 1 by default.

    Returns:
        1 or 0; between them only where grades of one answer differ, or by lot.
    """
    candidates: dict[str, _Candidate] = {}
    for index, (answer, good) in enumerate(zip(answers, correct, strict=True)):
        if answer:
            candidate = candidates.setdefault(answer, _Candidate(first=index))
            candidate.votes.append(1.0 if weights is None else weights[index])
            candidate.right.append(good)
            candidate.last = index
    if not candidates:
        return 0.0
    most = max(math.fsum(c.votes) for c in candidates.values())
    tied = [c for c in candidates.values() if math.fsum(c.votes) == most]
    if ties == "latest":
        tied = [max(tied, key=lambda c: c.last)]
    elif ties == "earliest":
        tied = [min(tied, key=lambda c: c.first)]
    return math.fsum(sum(c.right) / len(c.right) for c in tied) / len(tied)
