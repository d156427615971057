"""Learning from logged attempts: dialogues become rows, a prompt's rows an example, and the fit stage does the rest."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hone.algorithms.rwr import RWR
from hone.core.config import plain
from hone.core.errors import HoneError
from hone.core.files import read_json_lines
from hone.data.attempts import Conversion, Dialogue, Learnt, examples
from hone.data.rows import Example
from hone.models.config import ModelConfig
from hone.models.policy import load
from hone.training.fit import check_offline
from hone.training.fitting import FitLoop, check_fits
from hone.training.recipe import PACKAGES, OptimiserConfig, RunConfig
from hone.training.run import Run


@dataclass(frozen=True)
class AttemptsConfig(Conversion):
    """Logged dialogues, and which of their answers are learnt.

    Attributes:
        source: JSON lines of :class:`hone.data.attempts.Dialogue`.
    """

    source: str = ""


@dataclass(frozen=True)
class AttemptsRecipe:
    """A fit on logged attempts.

    Attributes:
        data: the dialogues and their conversion.
        model: the policy to start from.
        algorithm: ``rwr``, ``awr`` or ``nll``, or one of your own that needs no rollouts.
        rows: prompts per optimiser step; all answers to a prompt are in one step.
        micro_tokens: most tokens of one forward pass.
        optimiser: AdamW.
        run: the run directory.
    """

    data: AttemptsConfig
    model: ModelConfig
    algorithm: Any = field(default_factory=RWR)
    rows: int = 64
    micro_tokens: int = 16384
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=1e-5, warmup=10, schedule="cosine"))
    run: RunConfig = field(default_factory=lambda: RunConfig(out="runs/attempts", steps=200, save_every=100))

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing and keys that would have no effect."""
        if self.rows < 1 or self.micro_tokens < 1:
            raise ValueError("rows and micro_tokens must be at least 1")
        if self.run.evaluate_every:
            raise ValueError("run.evaluate_every has no effect: no attempt is held out")
        check_offline(self.run)


def fit_attempts(recipe: AttemptsRecipe, *, resume: bool = False) -> Run:
    """Learn from logged attempts; returns the finished run.

    Raises:
        HoneError: no answer is left to learn, the algorithm needs what only rollouts have, or the run cannot be
            resumed.
    """
    check_fits(recipe.algorithm, given=frozenset({"value"}))
    run, config = Run(Path(recipe.run.out)), plain(recipe, PACKAGES)
    run.check(config, resume=resume)
    found, rows = load_examples(recipe.data)
    policy = load(recipe.model)
    fitting = within(found, policy.max_length)
    if not fitting:
        raise HoneError("no example fits into the model's context", got=f"{len(found)} longer than {policy.max_length}")
    loop = FitLoop(recipe, policy, run, fitting, [])
    run.begin(config, resume=resume, data=hashlib.blake2b(repr(fitting).encode(), digest_size=16).hexdigest())
    kinds = ", ".join(f"{count:,} of {source}" for source, count in sorted(Counter(r.source for r in rows).items()))
    print(
        f"{len(rows):,} answers ({kinds}) to {len(fitting):,} prompts "
        f"({recipe.rows * recipe.run.steps / len(fitting):.3g} passes); {len(found) - len(fitting):,} prompts too long "
        f"and left out; {sum(p.numel() for _, p in policy.trainable()):,} trainable parameters on {policy.device}",
        file=sys.stderr,
    )
    loop.session.drive(type(recipe.algorithm).__name__, loop.step, resume=resume, note="loss")
    return run


def within(found: Sequence[Example], max_length: int) -> list[Example]:
    """The examples that a model with a context of so many tokens can learn: every row of them fits."""
    return [example for example in found if max(len(row.tokens) for row in example) <= max_length]


def load_examples(data: AttemptsConfig) -> tuple[list[Example], list[Learnt]]:
    """The examples of a file of dialogues, and the rows in them.

    Raises:
        HoneError: nothing in it is to be learnt.
    """
    dialogues = [Dialogue.of(line) for line in read_json_lines(Path(data.source))]
    found, rows = examples(dialogues, data)
    if not found:
        graded = sum(visit.own.reward is not None for dialogue in dialogues for visit in dialogue.visits)
        raise HoneError(
            "no answer is left to learn from",
            where=data.source,
            got=f"{len(dialogues)} dialogues, {graded} graded attempts, criterion {data.criterion!r}",
            do="ask more questions, or look at the graders and the criterion",
        )
    return found, rows
