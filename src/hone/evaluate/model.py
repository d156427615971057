"""Evaluate a model on a task: sample, grade, judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hone.core.errors import HoneError
from hone.core.progress import Progress
from hone.core.types import Trajectory
from hone.engines.base import Engine, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.envs.base import Task
from hone.evaluate.accuracy import Evaluation, evaluate, stratum_of
from hone.evaluate.votes import VoteConfig
from hone.models.chat import Renderer
from hone.models.policy import ModelConfig, Policy
from hone.rollout.answers import check_answers
from hone.rollout.episodes import Start, rollout


@dataclass(frozen=True)
class EvalConfig:
    """How to evaluate.

    Attributes:
        split: "test" or "train".
        questions: how many questions, from the first; 0 for all.
        samples: sampled answers per question.
        greedy: also one greedy answer per question.
        threshold: a reward of at least this is correct.
        seed: root of the sampling noise.
        chunk: episodes in flight at once (memory, never the result).
    """

    split: str = "test"
    questions: int = 0
    samples: int = 1
    greedy: bool = True
    threshold: float = 1.0
    seed: int = 0
    chunk: int = 2048

    def __post_init__(self) -> None:
        """Refuse counts that mean nothing."""
        if self.samples < 1 or self.questions < 0 or self.chunk < 1:
            raise ValueError("samples and chunk must be at least 1, questions at least 0")


@dataclass(frozen=True)
class EvalRecipe:
    """What ``hone eval`` does.

    Attributes:
        model: the policy.
        task: a task, chosen by name.
        sampling: how answers are drawn.
        eval: how many, and how they are judged.
        vote: of several attempts at a question (a retry task): how they vote.
    """

    model: ModelConfig
    task: Any
    sampling: Sampling = field(default_factory=Sampling)
    eval: EvalConfig = field(default_factory=EvalConfig)
    vote: VoteConfig = field(default_factory=VoteConfig)


def evaluate_model(
    policy: Policy, task: Task, sampling: Sampling, config: EvalConfig, *, engine: Engine | None = None
) -> tuple[Evaluation, list[Trajectory]]:
    """Sample ``samples`` answers (and a greedy one) per question and judge them.

    Returns:
        The evaluation, and the sampled trajectories in the order of (question, sample).

    Raises:
        HoneError: the split has no questions, k is asked for that the samples cannot give, or an agent never names
            an action.
    """
    engine = engine or EmbeddedEngine.of(policy)
    starts, greedy_starts = starts_of(task, config)
    with Progress("evaluating", len(starts) + len(greedy_starts)) as bar:
        sampled = sample(policy, task, engine, starts, sampling, config, bar)
        still = replace(sampling, temperature=0.0)
        greedy = sample(policy, task, engine, greedy_starts, still, config, bar)
    check_answers([*sampled, *greedy])
    ks = [2**i for i in range(config.samples.bit_length()) if 2**i <= config.samples]
    stratum = stratum_of(task, config.split)
    result = evaluate(sampled, greedy=greedy, ks=ks, threshold=config.threshold, stratum=stratum)
    return result, sampled


def starts_of(task: Task, config: EvalConfig) -> tuple[list[Start], list[Start]]:
    """The episodes of an evaluation: ``samples`` of every question, and one of each to be greedy on if there is to be.

    Raises:
        HoneError: the split has no questions.
    """
    size = task.size(config.split)
    count = min(config.questions or size, size)
    if count == 0:
        raise HoneError("there is nothing to evaluate", where=f'split "{config.split}"', got="no questions")
    starts = [Start(question, question, sample) for question in range(count) for sample in range(config.samples)]
    return starts, [Start(question, question, 0) for question in range(count)] if config.greedy else []


def sample(
    policy: Policy,
    task: Task,
    engine: Engine,
    starts: Sequence[Start],
    sampling: Sampling,
    config: EvalConfig,
    bar: Progress,
) -> list[Trajectory]:
    """Roll out episodes, ``chunk`` at a time; their noise is keyed by question and sample."""
    found: list[Trajectory] = []
    engine.sync(0)
    renderer = Renderer(policy.tokenizer)
    for first in range(0, len(starts), config.chunk):
        part = starts[first : first + config.chunk]
        found += rollout(
            engine,
            task,
            renderer,
            part,
            sampling,
            noise=(config.seed, "evaluate"),
            split=config.split,
            max_length=policy.max_length,
        )
        bar.advance(by=len(part))
    return found
