"""How often a policy is right: accuracy, greedy accuracy, pass@k and maj@k from graded samples, per stratum.

The input is trajectories, however they were made; nothing here samples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hone.core.errors import HoneError
from hone.core.types import Scored, Trajectory
from hone.envs.base import Task
from hone.evaluate.estimates import Estimate, best_at_k, bootstrap_mean, maj_at_k, pass_at_k, share
from hone.functional.kl import best_of_n_kl

TOLERANCE = 1e-9
"""A reward summed in floating point may miss the threshold by this much."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found. A failed grade counts in ``failures`` and nowhere else.

    Attributes:
        questions: number of distinct questions, ``samples``: of sampled answers, failed ones included.
        failures: samples, and greedy answers, that the grader failed on.
        accuracy: share of samples that are correct, interval clustered by question.
        greedy: share of correct greedy answers, where any were given.
        pass_at, maj_at: k to the mean over questions; only questions with at least k graded samples take
            part, and ``count`` says how many did.
        best_at: k to the mean reward of the best of k samples (best-of-N), over the same questions.
        reward: mean reward of a sample.
        length: mean number of sampled tokens of an episode.
        truncation_rate: share of episodes in which a completion hit its token limit.
        strata: the same numbers for each stratum of the task.
    """

    questions: int
    samples: int
    failures: int
    accuracy: Estimate
    greedy: Estimate | None
    pass_at: Mapping[int, Estimate]
    maj_at: Mapping[int, Estimate]
    best_at: Mapping[int, Estimate]
    reward: Estimate
    length: Estimate
    truncation_rate: Estimate
    strata: Mapping[str, Evaluation] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Nested plain values for JSON (the file ``evals/NAME.json`` of a run); NaN becomes None."""
        return {
            "questions": self.questions,
            "samples": self.samples,
            "failures": self.failures,
            "accuracy": self.accuracy.plain(),
            "greedy": self.greedy.plain() if self.greedy else None,
            "pass_at": {str(k): estimate.plain() for k, estimate in self.pass_at.items()},
            "maj_at": {str(k): estimate.plain() for k, estimate in self.maj_at.items()},
            "best_at": {
                str(k): estimate.plain() | {"kl_at_most": best_of_n_kl(k)} for k, estimate in self.best_at.items()
            },
            "reward": self.reward.plain(),
            "length": self.length.plain(),
            "truncation_rate": self.truncation_rate.plain(),
            "strata": {name: stratum.plain() for name, stratum in self.strata.items()},
        }


def evaluate(
    trajectories: Sequence[Trajectory],
    *,
    greedy: Sequence[Trajectory] = (),
    ks: Sequence[int] = (1,),
    threshold: float = 1.0,
    stratum: Callable[[int], str] | None = None,
) -> Evaluation:
    """Judge graded samples.

    Args:
        trajectories: samples at the temperature of interest; ``episode`` names the question.
        greedy: answers of temperature 0, one per question.
        ks: for pass@k and maj@k.
        threshold: a sample is correct if its reward is at least this.
        stratum: the stratum of an episode, see :func:`stratum_of`.

    Raises:
        HoneError: nothing to judge, or a k larger than the number of samples of any question.
    """
    if not trajectories and not greedy:
        raise HoneError("there is nothing to evaluate", got="no trajectories")
    most = max((len(group) for group in _by_question(trajectories).values()), default=0)
    for k in ks if trajectories else ():
        if not 1 <= k <= most:
            raise HoneError(
                f"pass@{k} cannot be estimated",
                got=f"{most} samples per question",
                expected=f"at least {max(k, 1)}, and k ≥ 1",
                do="more samples per question, or a smaller k",
            )
    strata: dict[str, Evaluation] = {}
    if stratum is not None:
        names = {episode: str(stratum(episode)) for episode in {t.episode for t in (*trajectories, *greedy)}}
        for name in sorted(set(names.values()), key=_natural):
            sampled, best = ([t for t in ts if names[t.episode] == name] for ts in (trajectories, greedy))
            strata[name] = _judge(sampled, best, ks, threshold, {})
    return _judge(trajectories, greedy, ks, threshold, strata)


def stratum_of(task: object, split: str) -> Callable[[int], str] | None:
    """The stratum of an episode, where the task has a method ``stratum(episode, split)``; else None."""
    method = getattr(task, "stratum", None)
    return None if method is None else lambda episode: str(method(episode, split))


def judging(task: Task) -> tuple[Task, Callable[[Trajectory], Trajectory]]:
    """How a task's episodes are judged: the task to play, and what counts of an episode.

    A task may say so itself with a method ``judged()`` that returns the two, as ``retry`` does; of any other the
    episode counts as it was played.
    """
    method = getattr(task, "judged", None)
    return (task, lambda trajectory: trajectory) if method is None else method()


def _judge(
    trajectories: Sequence[Trajectory],
    greedy: Sequence[Trajectory],
    ks: Sequence[int],
    threshold: float,
    strata: Mapping[str, Evaluation],
) -> Evaluation:
    graded = [t for t in trajectories if t.failure is None]
    graded_greedy = [t for t in greedy if t.failure is None]
    questions = [t.episode for t in graded]
    correct = [float(t.reward >= threshold - TOLERANCE) for t in graded]
    lengths = [float(sum(len(turn.action.tokens) for turn in t.turns)) for t in graded]
    cut = [float(any(turn.action.stop == "length" for turn in t.turns)) for t in graded]
    return Evaluation(
        questions=len({t.episode for t in (*trajectories, *greedy)}),
        samples=len(trajectories),
        failures=len(trajectories) - len(graded) + len(greedy) - len(graded_greedy),
        accuracy=share(correct, questions),
        greedy=_greedy(graded_greedy, threshold) if greedy else None,
        pass_at={k: _per_question(graded, k, threshold, _pass) for k in ks},
        maj_at={k: _per_question(graded, k, threshold, _maj) for k in ks},
        best_at={k: _best(graded, k) for k in ks},
        reward=bootstrap_mean([t.reward for t in graded], questions, ("evaluate", "reward")),
        length=bootstrap_mean(lengths, questions, ("evaluate", "length")),
        truncation_rate=share(cut, questions),
        strata=strata,
    )


def _greedy(graded: Sequence[Trajectory], threshold: float) -> Estimate:
    return share([float(t.reward >= threshold - TOLERANCE) for t in graded], [t.episode for t in graded])


def _pass(group: Sequence[Trajectory], correct: Sequence[bool], k: int) -> float:
    return pass_at_k(len(group), sum(correct), k)


def _maj(group: Sequence[Trajectory], correct: Sequence[bool], k: int) -> float:
    return maj_at_k([_answer(t) for t in group], correct, k)


def _per_question(
    graded: Sequence[Trajectory],
    k: int,
    threshold: float,
    measure: Callable[[Sequence[Trajectory], Sequence[bool], int], float],
) -> Estimate:
    """Mean of a measure over the questions that have at least k graded samples."""
    groups = [group for group in _by_question(graded).values() if len(group) >= k]
    values = [measure(group, [t.reward >= threshold - TOLERANCE for t in group], k) for group in groups]
    return share(values, at_most=sum(len(group) for group in groups))


def _best(graded: Sequence[Trajectory], k: int) -> Estimate:
    """Mean reward of the best of k samples over the questions that have at least k graded ones."""
    groups = {q: [t.reward for t in group] for q, group in _by_question(graded).items() if len(group) >= k}
    values = [best_at_k(rewards, rewards, k) for rewards in groups.values()]
    return bootstrap_mean(values, list(groups), ("evaluate", "best", k))


def _by_question(trajectories: Sequence[Trajectory]) -> dict[int, list[Trajectory]]:
    groups: dict[int, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.episode, []).append(trajectory)
    return groups


def _answer(trajectory: Trajectory) -> str:
    """What the last turn answered; "" (abstains) where the grader read nothing."""
    outcome = trajectory.turns[-1].outcome if trajectory.turns else None
    return outcome.answer if isinstance(outcome, Scored) else ""


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorting key by which "10 digits" comes after "9 digits"."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
