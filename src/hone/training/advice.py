"""Which settings are most worth changing, each with an estimate from what was measured and how it was made."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from hone.models.limits import matrix_product_rate, product_seconds
from hone.models.policy import Policy
from hone.training.profiling import Profile

WORTH = 0.03
"""Less of a step than this is not worth a line."""

Judge = Callable[[Profile, Policy], "Iterator[Advice]"]


@dataclass(frozen=True)
class Advice:
    """A setting to change.

    Attributes:
        setting: its name in a recipe, or what it is.
        change: from what to what.
        gain: estimated share of the step's time that is saved.
        how: how that was estimated, and what it costs.
    """

    setting: str
    change: str
    gain: float
    how: str


def advise(profile: Profile, policy: Policy, *, most: int = 3) -> list[Advice]:
    """The settings that promise most, best first; those that promise less than 3 % are left out."""
    judges: tuple[Judge, ...] = (
        _slots, _prompts, _micro_tokens, _repeats, _checkpointing, _threads, _precision, _signal, _rarely, _grading
    )  # fmt: skip
    found = [advice for judge in judges for advice in judge(profile, policy) if advice.gain >= WORTH]
    return sorted(found, key=lambda advice: -advice.gain)[:most]


def _slots(profile: Profile, policy: Policy) -> Iterator[Advice]:
    fit = _decode_fit(profile)
    if fit is None or profile.requests <= profile.slots or profile.rows < 0.7 * profile.slots:
        return
    wider = min(4 * profile.slots, int(profile.requests))
    gain = profile.spent("decode") * (
        1 - _per_row(fit, profile.rows * wider / profile.slots) / _per_row(fit, profile.rows)
    )
    yield Advice(
        "engine.slots",
        f"{profile.slots} → {wider}",
        gain / profile.seconds,
        f"{_said(fit)}; costs cache memory in proportion",
    )


def _prompts(profile: Profile, policy: Policy) -> Iterator[Advice]:
    fit = _decode_fit(profile)
    if fit is None or profile.requests > profile.slots or 2 * profile.rows > profile.slots:
        return
    gain = profile.spent("decode") * (1 - _per_row(fit, 2 * profile.rows) / _per_row(fit, profile.rows))
    now = profile.recipe.batch.prompts
    yield Advice(
        "batch.prompts",
        f"{now} → {2 * now}",
        gain / profile.seconds,
        f"per token: on average {profile.rows:.0f} completions are in flight; {_said(fit)}. "
        "It changes what an update learns from",
    )


def _micro_tokens(profile: Profile, policy: Policy) -> Iterator[Advice]:
    passes = [e for e in profile.events if e.path[-1] == "forward" and "learn" in e.path]
    per_update = len(passes) / profile.steps / (profile.recipe.batch.epochs * profile.recipe.batch.updates)
    fit = line([(e.counts.get("tokens", 0.0), e.seconds) for e in passes])
    if fit is None or per_update <= 1:
        return
    saved = fit[0] * (len(passes) / profile.steps) * (1 - math.ceil(per_update / 2) / per_update)
    backward = profile.spent("backward") / max(profile.spent("forward"), 1e-9)
    now = profile.recipe.batch.micro_tokens
    yield Advice(
        "batch.micro_tokens",
        f"{now} → {2 * now}",
        saved * (1 + backward) / profile.seconds,
        f"{_said(fit, 'forward pass', 'token')}; half as many passes pay the first part. Takes more memory",
    )


def _repeats(profile: Profile, policy: Policy) -> Iterator[Advice]:
    layout = profile.recipe.batch.layout
    unique = profile.real - profile.duplicated
    if profile.processed <= unique or layout == "auto":
        return
    wasted = 1 - unique / profile.processed
    yield Advice(
        "batch.layout",
        f'"{layout}" → "auto"',
        wasted * profile.spent("forward", "backward") / profile.seconds,
        f"{profile.processed:,.0f} tokens went through the model for {unique:,.0f} different ones; at most, as the "
        "time of forward and backward pass is taken to be in proportion",
    )


def _checkpointing(profile: Profile, policy: Policy) -> Iterator[Advice]:
    if profile.recipe.model.gradient_checkpointing:
        yield Advice(
            "model.gradient_checkpointing",
            "true → false",
            profile.spent("forward") / profile.seconds,
            "the backward pass makes the forward pass again; the time of one forward pass is saved. "
            "Takes the memory of all layers' activations",
        )


def _threads(profile: Profile, policy: Policy) -> Iterator[Advice]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if profile.device != "cpu" or profile.threads >= cores:
        return
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    try:
        faster = matrix_product_rate(getattr(torch, profile.dtype)) / profile.limit
    finally:
        torch.set_num_threads(before)
    tensors = profile.spent("prefill", "decode", "forward", "backward", "old scores, advantages", "reference scores")
    yield Advice(
        "OMP_NUM_THREADS",
        f"{profile.threads} → {cores}",
        tensors * (1 - 1 / max(faster, 1.0)) / profile.seconds,
        f"large matrix products are {faster:.1f} times as fast with {cores} threads; small ones gain less, so at most",
    )


def _precision(profile: Profile, policy: Policy) -> Iterator[Advice]:
    """The matrix products of both halves, in their shapes, in both precisions; the rest of the time stays."""
    if profile.dtype != "float32":
        return
    saved = 0.0
    halves = (
        (max(int(profile.rows), 1), profile.spent("decode"), 1),
        (1024, profile.spent("forward", "backward"), 3),
    )
    tokens = (profile.sampled, profile.processed or profile.real)
    for (rows, seconds, passes), count in zip(halves, tokens, strict=True):
        single, half = (product_seconds(policy.model, rows, dtype) for dtype in (torch.float32, torch.bfloat16))
        share = min(single * count / rows * passes / max(seconds, 1e-9), 1.0)
        saved += seconds * share * (1 - half / single)
    yield Advice(
        "model.dtype",
        '"float32" → "bfloat16"',
        saved / profile.seconds,
        "the model's matrix products alone, in its shapes and in both precisions, for the share of decoding, forward "
        "and backward pass that they take; casting the weights comes on top. Sampled log-probabilities then differ "
        "from the learner's by rounding",
    )


def _signal(profile: Profile, policy: Policy) -> Iterator[Advice]:
    if profile.recipe.algorithm.group_baseline:
        yield Advice(
            "batch.samples, or the difficulty of the questions",
            "fewer groups whose rewards are all equal",
            profile.zero_signal * profile.learning_seconds / profile.seconds,
            f"{profile.zero_signal:.0%} of the groups were all right or all wrong and taught nothing: that share of "
            "the update was for nothing",
        )


def _rarely(profile: Profile, policy: Policy) -> Iterator[Advice]:
    for phase, key in (("evaluation", "evaluate_every"), ("checkpoint", "save_every"), ("samples", "rollouts_every")):
        now = getattr(profile.recipe.run, key)
        gain = profile.spent(phase) / 2 / profile.seconds
        yield Advice(f"run.{key}", f"{now} → {2 * now}", gain, "half as often, half the time")


def _grading(profile: Profile, policy: Policy) -> Iterator[Advice]:
    share = profile.spent("environment") / profile.seconds
    if share > 0.2:
        yield Advice(
            "the task's graders or environment",
            "faster ones",
            share / 2,
            f"they take {share:.0%} of the step; half of that, if they were twice as fast",
        )


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Intercept and slope of the least-squares line, both positive; None where the points do not give one."""
    if len(points) < 3 or len({x for x, _ in points}) < 2:
        return None
    mean_x, mean_y = (sum(p[i] for p in points) / len(points) for i in (0, 1))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    intercept = mean_y - slope * mean_x
    return (intercept, slope) if intercept > 0 and slope > 0 else None


def _decode_fit(profile: Profile) -> tuple[float, float] | None:
    steps = [e for e in profile.events if e.path[-1] == "decode" and "evaluate" not in e.path]
    return line([(e.counts["rows"], e.seconds) for e in steps])


def _per_row(fit: tuple[float, float], rows: float) -> float:
    return fit[0] / rows + fit[1]


def _said(fit: tuple[float, float], what: str = "decoding step", each: str = "row") -> str:
    return (
        f"a {what} took {fit[0] * 1e3:.3g} ms and {fit[1] * 1e6:.3g} µs per {each} (least squares over those measured)"
    )
