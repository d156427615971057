"""Evaluate a model on a retry task: runs of k turns, parallel first answers, votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hone.core.errors import HoneError
from hone.core.progress import Progress
from hone.core.types import Failed, Scored, Trajectory, Turn
from hone.engines.base import Engine, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.envs.graders.base import guarded
from hone.envs.questions import Question
from hone.envs.tasks.retry import Retry
from hone.evaluate.accuracy import TOLERANCE
from hone.evaluate.model import EvalConfig, sample, starts_of
from hone.evaluate.turns import Attempt, Run, TurnEvaluation, evaluate_turns
from hone.evaluate.votes import VoteConfig
from hone.models.policy import Policy
from hone.rollout.episodes import Start


def evaluate_retries(
    policy: Policy,
    task: Retry,
    sampling: Sampling,
    config: EvalConfig,
    vote: VoteConfig | None = None,
    *,
    engine: Engine | None = None,
) -> tuple[TurnEvaluation, list[Trajectory]]:
    """Play ``samples`` runs of all turns (and a greedy one) per question, and judge them.

    No run stops early, whatever the task says: what an oracle that stops it would give is told by ``p1@tk``. The first
    answers of the runs are parallel answers too; where there are fewer than turns, more first answers are sampled.

    Returns:
        The evaluation, and the sampled runs in the order of (question, sample).

    Raises:
        HoneError: the split has no questions; the model's context has no room for an attempt; nothing could be graded;
            the judge fails.
    """
    vote, engine = vote or VoteConfig(), engine or EmbeddedEngine.of(policy)
    task, _ = task.judged()
    starts, greedy_starts = starts_of(task, config)
    few = max(task.turns - config.samples, 0)
    more = [Start(s.episode, s.group, config.samples + i) for s in starts if s.sample == 0 for i in range(few)]
    with Progress("evaluating", len(starts) + len(more) + len(greedy_starts)) as bar:
        played = sample(policy, task, engine, starts, sampling, config, bar)
        alone = sample(policy, replace(task, turns=1), engine, more, sampling, config, bar)
        still = replace(sampling, temperature=0.0)
        greedy = sample(policy, task, engine, greedy_starts, still, config, bar)
    refuse_overflow([*played, *alone, *greedy])
    return judge_runs(task, played, alone, config, vote, greedy), played


def judge_runs(
    task: Retry,
    played: Sequence[Trajectory],
    alone: Sequence[Trajectory],
    config: EvalConfig,
    vote: VoteConfig,
    greedy: Sequence[Trajectory] = (),
) -> TurnEvaluation:
    """Judge what was sampled.

    Args:
        task: the retry task.
        played: runs of all turns.
        alone: further first answers.
        config: its threshold and split.
        vote: how attempts vote.
        greedy: runs without noise.

    Raises:
        HoneError: nothing could be graded, or the judge fails.
    """
    graded, single = ([t for t in found if t.failure is None] for found in (played, alone))
    if not graded:
        first = next((t.failure for t in played if t.failure), None)
        raise HoneError(
            "no run could be graded",
            got=f"{len(played)} runs; the first failed: {first.kind}: {first.reason}" if first else "no runs",
            do="call the grader on one answer yourself",
        )
    weights = _weights(task, [*graded, *single], config.split, vote.judge) if vote.judge is not None else {}
    runs = [_run(task, t, config.threshold, weights) for t in graded]
    parallel: dict[int, list[Attempt]] = {}
    for run in (*runs, *(_run(task, t, config.threshold, weights) for t in single)):
        parallel.setdefault(run.question, []).append(run.attempts[0])
    return evaluate_turns(
        runs,
        parallel,
        ties=vote.ties,
        failures=len(played) - len(graded) + len(alone) - len(single),
        greedy=[_run(task, t, config.threshold, {}) for t in greedy if t.failure is None],
        weighted=vote.judge is not None,
    )


def refuse_overflow(trajectories: Sequence[Trajectory]) -> None:
    """An attempt for which the model's context has no room ends an evaluation or a collection.

    Raises:
        HoneError: names the first such question.
    """
    for trajectory in trajectories:
        if isinstance(trajectory.failure, Failed) and trajectory.failure.kind == "context":
            raise HoneError(
                "the model's context has no room for an attempt",
                got=trajectory.failure.reason,
                expected="question, attempts in view and retry texts that fit",
                do='a smaller task.window, or task.overflow = "shorten" to leave out the oldest attempts',
            )


_Place = tuple[int, int, int]
"""Question, sample and turn of an attempt."""


def _run(task: Retry, trajectory: Trajectory, threshold: float, weights: Mapping[_Place, float]) -> Run:
    at = (trajectory.episode, trajectory.sample)
    turns = task.attempts(trajectory)
    found = (_attempt(turn, threshold, weights.get((*at, number), 0.0)) for number, turn in enumerate(turns))
    return Run(trajectory.episode, tuple(found))


def _attempt(turn: Turn, threshold: float, log_weight: float) -> Attempt:
    outcome = turn.outcome
    assert isinstance(outcome, Scored), "a run with a failed attempt was left out"
    return Attempt(outcome.answer, outcome.value >= threshold - TOLERANCE, len(turn.action.tokens), log_weight)


def _weights(task: Retry, trajectories: Sequence[Trajectory], split: str, judge: Any) -> dict[_Place, float]:
    """The judge's value of every attempt: the logarithm of its weight."""
    questions = task.of.questions(split)
    places, texts = list[_Place](), list[str]()
    for t in trajectories:
        for number, turn in enumerate(task.attempts(t)):
            places.append((t.episode, t.sample, number))
            texts.append(turn.text)
    asked: list[Question] = [questions[question] for question, _, _ in places]
    names = {name: None for question in asked for name in question.row}
    columns = {name: [question.row.get(name) for question in asked] for name in names}
    values: dict[_Place, float] = {}
    for place, outcome in zip(places, guarded(judge, [q.prompt for q in asked], texts, columns), strict=True):
        if isinstance(outcome, Failed):
            raise HoneError("the judge of votes failed", where="vote.judge", got=f"{outcome.kind}: {outcome.reason}")
        values[place] = outcome.value
    return values
