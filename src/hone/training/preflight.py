"""Before step 1: everything that could fail later is tried once, and what hone derived is said."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hone.core.errors import HoneError
from hone.core.types import Trajectory
from hone.models.policy import Policy
from hone.models.score import score
from hone.rollout.rows import to_batch
from hone.training.recipe import Recipe

GAP_WARNING, GAP_REFUSED = 1e-3, 0.5
HALF_GAP_WARNING = 0.1
"""Where sampling was asked to compute in half precision."""


def describe(recipe: Recipe, policy: Policy) -> str:
    """The batch arithmetic in one line: what a step generates and how often it updates."""
    batch = recipe.batch
    rollouts = batch.prompts * batch.samples
    updates = batch.epochs * batch.updates
    clips = (
        "" if not (batch.on_policy and hasattr(recipe.algorithm, "clip_low")) else " (every ratio is 1: no clip acts)"
    )
    trainable = sum(p.numel() for _, p in policy.trainable())
    more = f", up to {batch.resample} more rounds for groups without signal" if batch.resample else ""
    return (
        f"{batch.prompts} prompts × {batch.samples} samples = {rollouts} rollouts a step{more}, "
        f"{updates} optimiser step{'s' if updates > 1 else ''} of {rollouts // batch.updates} rollouts each{clips}, "
        f"{recipe.run.steps} steps; {trainable:,} trainable parameters on {policy.device}"
    )


def gap_warning(recipe: Recipe) -> float:
    """The gap between sampler and learner, in nats, above which a run warns: wider for a half-precision sampler."""
    return GAP_WARNING if recipe.engine.sampler_dtype in ("auto", "learner") else HALF_GAP_WARNING


def check_gap(policy: Policy, trajectories: Sequence[Trajectory], temperature: float) -> float:
    """Largest |log-prob of the sampler − of the learner| on some fresh rollouts (law 5).

    Raises:
        HoneError: they disagree so much that training would be off-policy without knowing it.
    """
    batch = to_batch(trajectories, policy.pad_id).to(policy.device)
    chosen = batch.train & batch.sampled
    if not bool(chosen.any()):
        return 0.0
    with torch.no_grad():
        learner = score(policy, batch, needs=frozenset(), temperature=temperature).logprob
    gap = float((learner - batch.behaviour_logprob)[chosen].abs().max())
    if gap > GAP_REFUSED:
        raise HoneError(
            "the engine and the learner disagree about the probability of what was just sampled",
            got=f"log-probabilities differ by up to {gap:.3g}",
            expected=f"less than {GAP_REFUSED}",
            do="check that temperature and weights are the same on both sides; float32 rules rounding out",
        )
    return gap
