"""Context distillation: answers drawn with guidelines in the context are learnt without them, by the fit stage."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hone.algorithms.distill import Distill
from hone.algorithms.nll import NLL
from hone.core.config import plain
from hone.core.errors import HoneError
from hone.core.feedback import Text, messages
from hone.core.progress import Progress
from hone.core.seeding import key
from hone.data.rows import Example, Row
from hone.engines.base import Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.models.chat import Renderer
from hone.models.config import ModelConfig
from hone.models.policy import Policy, load
from hone.training.fit import check_offline, records_of
from hone.training.fitting import FitLoop
from hone.training.recipe import PACKAGES, OptimiserConfig, RunConfig
from hone.training.run import Run

_AT_ONCE = 512
"""Answers sampled between two steps of the progress bar."""


@dataclass(frozen=True)
class PromptsConfig:
    """What is asked.

    Attributes:
        source: a file (JSONL, Parquet; .gz too) or a hub data set with a column ``prompt``.
        task: a task whose ``corpus(n, seed)`` has the prompts instead.
        examples: how many prompts are taken of a task.
        split: of a hub data set or a folder.
        columns: names of the columns where they differ: ``prompt = "question"``.
        answers: sampled answers per prompt.
        validation: share of the prompts held out, by content.
    """

    source: str | None = None
    task: Any = None
    examples: int = 1000
    split: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    answers: int = 1
    validation: float = 0.05

    def __post_init__(self) -> None:
        """Exactly one origin."""
        if (self.source is None) == (self.task is None):
            raise ValueError("give either data.source or data.task")
        if self.answers < 1 or not 0 <= self.validation < 1:
            raise ValueError("data.answers must be at least 1, data.validation a share from 0 to below 1")


@dataclass(frozen=True)
class DistillRecipe:
    """A run of context distillation.

    Attributes:
        data: what is asked.
        model: teacher and student at the start.
        guidelines: what stands before every prompt of the teacher: a system message where there is a chat template.
        algorithm: ``distill`` (the KL to the teacher's distributions), or ``nll`` (the sampled tokens alone).
        sampling: how the teacher's answers are drawn.
        rows: answers per optimiser step.
        micro_tokens: most tokens of one forward pass.
        optimiser: AdamW.
        run: the run directory; ``evaluate_every`` measures the loss on the held-out prompts.
    """

    data: PromptsConfig
    model: ModelConfig
    guidelines: str
    algorithm: Any = field(default_factory=Distill)
    sampling: Sampling = field(default_factory=Sampling)
    rows: int = 32
    micro_tokens: int = 16384
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=1e-5, warmup=10, schedule="linear"))
    run: RunConfig = field(default_factory=lambda: RunConfig(out="runs/distill", steps=200, save_every=100))

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing and keys that would have no effect."""
        if self.rows < 1 or self.micro_tokens < 1:
            raise ValueError("rows and micro_tokens must be at least 1")
        if not self.guidelines.strip():
            raise ValueError("guidelines is empty: there is nothing to distil")
        check_offline(self.run)


def distill(recipe: DistillRecipe, *, resume: bool = False) -> Run:
    """Sample answers with the guidelines, learn them without; returns the finished run.

    Resuming samples the same answers again: their noise is keyed and the teacher is the model the run began with.

    Raises:
        HoneError: the prompts or the model cannot be used, the algorithm is another one, or the run cannot be resumed.
    """
    if not isinstance(recipe.algorithm, Distill | NLL):
        raise HoneError(
            f"{type(recipe.algorithm).__name__} does not distil", where="algorithm.name", expected="distill or nll"
        )
    run, config = Run(Path(recipe.run.out)), plain(recipe, PACKAGES)
    run.check(config, resume=resume)
    prompts = _prompts(recipe)
    policy = load(recipe.model)
    pairs = isinstance(recipe.algorithm, Distill)
    train, held_out = (_examples(recipe, policy, side, pairs) for side in prompts)
    if not train:
        raise HoneError("no answer is left to train on", do="shorter guidelines, or a lower data.validation")
    loop = FitLoop(recipe, policy, run, train, held_out)
    run.begin(config, resume=resume, data=hashlib.blake2b(repr((train, held_out)).encode(), digest_size=16).hexdigest())
    print(
        f"{len(train):,} answers to train on ({recipe.rows * recipe.run.steps / len(train):.3g} passes), "
        f"{len(held_out):,} held out; {sum(p.numel() for _, p in policy.trainable()):,} trainable parameters",
        file=sys.stderr,
    )
    loop.session.drive("distillation", loop.step, resume=resume, note="loss")
    return run


def guided(renderer: Renderer, guidelines: str, prompt: Text) -> list[int]:
    """The context of the teacher: guidelines as a system message, or as text in front of a text without a template."""
    if renderer.chat or not isinstance(prompt, str):
        return renderer.opening("", [{"role": "system", "content": guidelines}, *messages(prompt, "user")])
    return renderer.opening(guidelines + prompt)


def _prompts(recipe: DistillRecipe) -> tuple[list[Text], list[Text]]:
    """Prompts to train on and held out, each once."""
    sides: tuple[dict[str, Text], dict[str, Text]] = ({}, {})
    for record in records_of(recipe.data, recipe.run.seed):
        if "prompt" not in record:
            raise HoneError("a record has no prompt", where="data", got=f"columns: {', '.join(record)}")
        text = str(record["prompt"])
        sides[key("distill", text) < recipe.data.validation * 2**64][text] = record["prompt"]
    return list(sides[0].values()), list(sides[1].values())


def _examples(recipe: DistillRecipe, policy: Policy, prompts: Sequence[Text], pairs: bool) -> list[Example]:
    """The student's row of every answer and, for the KL, the teacher's beside it; prompts too long are left out."""
    renderer, engine = Renderer(policy.tokenizer), EmbeddedEngine.of(policy)
    room = policy.max_length - recipe.sampling.max_tokens
    asked = [(prompt, guided(renderer, recipe.guidelines, prompt)) for prompt in prompts]
    asked = [(prompt, context) for prompt, context in asked if len(context) <= room for _ in range(recipe.data.answers)]
    found: list[Example] = []
    engine.sync(0)
    with Progress("answers with guidelines", len(asked)) as bar:
        for first in range(0, len(asked), _AT_ONCE):
            part = asked[first : first + _AT_ONCE]
            requests = [
                Request(i, tuple(context), recipe.sampling, key(recipe.run.seed, "distill", str(prompt), first + i))
                for i, (prompt, context) in enumerate(part)
            ]
            for (prompt, context), done in zip(part, engine.generate(requests), strict=True):
                own = renderer.opening(prompt) if isinstance(prompt, str) else renderer.opening("", prompt)
                student = _row(own, done.tokens, 0.0)
                found.append((student, _row(context, done.tokens, float("nan"))) if pairs else (student,))
            bar.advance(by=len(part))
    return found


def _row(context: Sequence[int], answer: Sequence[int], worth: float) -> Row:
    return Row((*context, *answer), (*[False] * len(context), *[True] * len(answer)), worth)
