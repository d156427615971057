"""Preferences on the policy itself: DPO and KTO. The fit stage with a reference policy beside the learner."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hone.algorithms.dpo import DPO
from hone.core.config import plain
from hone.core.errors import HoneError
from hone.core.feedback import Label, Rating
from hone.data.preferences import encode_answers, encode_thumbs, select
from hone.data.rows import Example
from hone.models.chat import Renderer
from hone.models.config import ModelConfig
from hone.models.policy import Policy, load
from hone.training.feedback import FeedbackConfig, read_labels
from hone.training.fit import check_offline
from hone.training.fitting import FitLoop, check_fits
from hone.training.recipe import PACKAGES, OptimiserConfig, RunConfig
from hone.training.run import Run


@dataclass(frozen=True)
class PreferRecipe:
    """A run of DPO or KTO.

    Attributes:
        data: what people said.
        model: the policy to start from, which is also the reference.
        rows: examples per optimiser step: comparisons, rankings, or thumbs.
        micro_tokens: most tokens of one forward pass.
        algorithm: ``dpo`` or ``kto``, and with it which labels are learnt from.
        optimiser: AdamW.
        run: the run directory; ``evaluate_every`` measures loss and accuracy on the held-out prompts.
    """

    data: FeedbackConfig
    model: ModelConfig
    algorithm: Any = field(default_factory=DPO)
    rows: int = 32
    micro_tokens: int = 16384
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=1e-6, warmup=10, schedule="linear"))
    run: RunConfig = field(default_factory=lambda: RunConfig(out="runs/prefer", steps=200, save_every=100))

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing and keys that would have no effect."""
        if self.rows < 1 or self.micro_tokens < 1:
            raise ValueError("rows and micro_tokens must be at least 1")
        check_offline(self.run)


def prefer(recipe: PreferRecipe, *, resume: bool = False) -> Run:
    """Train a policy on what people preferred; returns the finished run.

    Raises:
        HoneError: the data or the model cannot be used, the algorithm learns from something else, or the run cannot be
            resumed.
    """
    kind = getattr(recipe.algorithm, "labels", None)
    if kind not in ("pairs", "thumbs"):
        raise HoneError(
            f"{type(recipe.algorithm).__name__} does not learn from what people said",
            where="algorithm.name",
            expected="dpo or kto",
        )
    check_fits(recipe.algorithm, given=frozenset({"ref_logprob", "old_logprob"}))
    run, config = Run(Path(recipe.run.out)), plain(recipe, PACKAGES)
    run.check(config, resume=resume)
    train, held_out = read_labels(recipe.data)
    policy = load(recipe.model)
    examples, left_out = _examples(recipe, policy, train, kind)
    if not examples:
        raise HoneError("no example is left to train on", got=f"{left_out} too long", do="raise data.max_length")
    measured, _ = _examples(recipe, policy, held_out, kind) if _has(held_out, kind, recipe) else ([], 0)
    loop = FitLoop(recipe, policy, run, examples, measured)
    run.begin(config, resume=resume, data=hashlib.blake2b(repr((train, held_out)).encode(), digest_size=16).hexdigest())
    print(
        f"{len(examples):,} examples to train on ({recipe.rows * recipe.run.steps / len(examples):.3g} passes), "
        f"{len(measured):,} held out; {left_out:,} too long and left out; "
        f"{sum(p.numel() for _, p in policy.trainable()):,} trainable parameters on {policy.device}",
        file=sys.stderr,
    )
    loop.session.drive(type(recipe.algorithm).__name__, loop.step, resume=resume, note="loss")
    return run


def _examples(recipe: PreferRecipe, policy: Policy, labels: Sequence[Label], kind: Any) -> tuple[list[Example], int]:
    encoder = Renderer(policy.tokenizer)
    length = min(recipe.data.max_length, policy.max_length)
    chosen: Any = select(labels, kind, recipe.data.min_gap, recipe.data.max_pairs)
    return (encode_thumbs if kind == "thumbs" else encode_answers)(encoder, chosen, length)


def _has(labels: Sequence[Label], kind: Any, recipe: PreferRecipe) -> bool:
    """Nothing to measure on is no reason not to train."""
    if kind == "thumbs":
        return any(isinstance(label, Rating) and label.thumb is not None for label in labels)
    try:
        return bool(select(labels, kind, recipe.data.min_gap, recipe.data.max_pairs))
    except HoneError:
        return False
