"""Patience: with a small but non-zero chance per sample, reward comes if one waits, and then it comes sooner.

A base model answers each question right with a probability p that is computed exactly from its own log-probabilities.
The first success within n samples has probability ``1 − (1 − p)ⁿ``, and a group of G samples carries a signal (some
right, some wrong) with probability ``1 − p^G − (1 − p)^G``. Both are measured against real samples of the engine. Then
GRPO runs: questions whose successes are rarest are learnt last, since few of their groups say anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from hone.algorithms.grpo import GRPO
from hone.core.files import read_json_lines
from hone.data.rows import encode_pairs, pad_rows
from hone.engines.base import Sampling
from hone.envs.tasks.patience import Patience
from hone.evaluate.model import EvalConfig, evaluate_model
from hone.models.chat import Renderer
from hone.models.config import ModelConfig
from hone.models.policy import Policy
from hone.models.score import score
from hone.models.tiny import TinyConfig
from hone.report.charts import Series, curve, over_seeds
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import fit_stage, online_stage, policy_of, seed_folder
from hone.training.fit import DataConfig, FitRecipe
from hone.training.recipe import BatchConfig, OptimiserConfig, Recipe, RunConfig
from hone.training.run import Run

TASK = Patience(choices=(2, 10, 100), train=24, test=24)
SAMPLING = Sampling(max_tokens=4)
SAMPLES, GROUP, STEPS, PROMPTS = 512, 16, 150, 24
CLASSES = tuple(f"1/{k}" for k in TASK.choices)
EVERY, WINDOW = 3, 15
WAITS = (1, 4, 16, 64, 256)

Floats = NDArray[np.float64]

NOTES = (
    "p is not assumed: it is the product of the base model's own probabilities of the right answer's tokens, its end "
    "token included, computed by the learner. The measured shares come from the sampling engine.",
    "An interval is the central part of the exact distribution of a sum of independent Bernoulli variables (normal "
    "approximation), at a level of 95 % for all shares of a seed together (Bonferroni).",
    "There is nothing to generalise in this task: each right answer is arbitrary, and GRPO learns the training "
    "questions by heart. The point is when it can begin to.",
)


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Measure the shares and the learning curves, once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    shares = [share for one in found for share in one["shares"]]
    inside = sum(share["inside"] for share in shares)
    return Reproduction(
        title="Patience is all you need",
        headline=f"{inside} of {len(shares)} measured numbers lie within the intervals of the formulas.",
        summary={"seeds": list(seeds), "samples_per_question": SAMPLES, "group": GROUP, "shares": shares}
        | {"reward_at_the_end": {name: [one["curves"][name][-1] for one in found] for name in found[0]["curves"]}},
        checks=[Check("share of measured numbers inside their intervals", inside / len(shares), 1.0, 0.0)],
        pictures=_pictures(found),
        notes=NOTES,
        tables={"Measured and expected, seed 0": [_row(share) for share in found[0]["shares"]]},
    )


def _one(out: Path, seed: int) -> dict[str, Any]:
    base = fit_stage(
        FitRecipe(
            DataConfig(task=TASK, examples=40000, train_on="completion"),
            tiny=TinyConfig(width=64, layers=2, heads=4, max_length=32),
            optimiser=OptimiserConfig(lr=2e-3, warmup=50, schedule="linear"),
            run=RunConfig(out=str(out / "base"), steps=500, seed=seed, save_every=500),
        )
    )
    policy = policy_of(base)
    chance_Q = _exact_chances(policy)
    config = EvalConfig(split="train", samples=SAMPLES, greedy=False, seed=seed)
    _, sampled = evaluate_model(policy, TASK, SAMPLING, config)
    right_QN = np.array([t.reward >= 1 for t in sampled]).reshape(len(chance_Q), SAMPLES)
    kinds = [TASK.stratum(q, "train") for q in range(len(chance_Q))]
    shares = [share for kind in dict.fromkeys(kinds) for share in _shares(kind, kinds, chance_Q, right_QN)]
    level = 1 - 0.05 / len(shares)
    for share in shares:
        half = stats.norm.ppf(0.5 + level / 2) * share["sd"] + 0.5 / share["count"]
        share |= {"low": max(share["expected"] - half, 0.0), "high": share["expected"] + half}
        if share["what"].startswith(("first", "signal")):
            share["high"] = min(share["high"], 1.0)
        share["inside"] = bool(share["low"] <= share["measured"] <= share["high"])
    return {"shares": shares, "curves": _learning(base, out, seed)}


def _exact_chances(policy: Policy) -> Floats:
    """[Q] the policy's probability of the right answer to every training question."""
    questions = TASK.questions("train")
    pairs = [(question.text, question.answer) for question in questions]
    batch = pad_rows(encode_pairs(Renderer(policy.tokenizer), pairs, 64), policy.pad_id)
    with torch.no_grad():
        logprob_BT = score(policy, batch).logprob
    chance: Floats = (logprob_BT * batch.train).sum(-1).double().exp().numpy()
    return chance


def _shares(kind: str, kinds: Sequence[str], chance_Q: Floats, right_QN: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Measured and expected shares of one class of questions."""
    index = [q for q, name in enumerate(kinds) if name == kind]
    p, right = chance_Q[index], right_QN[index]
    found = []
    for n in WAITS:
        # disjoint stretches of n samples are independent tries to see a first success
        tries = right.reshape(len(index), -1, n).any(-1)
        found.append(_share(kind, f"first success within {n}", tries, 1 - (1 - p) ** n))
    groups = right.reshape(len(index), -1, GROUP)
    signal = groups.any(-1) & ~groups.all(-1)
    found.append(_wait(kind, right, p))
    found.append(_share(kind, f"signal in a group of {GROUP}", signal, 1 - p**GROUP - (1 - p) ** GROUP))
    return found


def _share(kind: str, what: str, seen_QM: Any, expected_Q: Floats) -> dict[str, Any]:
    count = seen_QM.size
    variance = float((expected_Q * (1 - expected_Q)).sum()) * seen_QM.shape[1] / count**2
    return {
        "class": kind,
        "what": what,
        "measured": float(seen_QM.mean()),
        "expected": float(expected_Q.mean()),
        "sd": variance**0.5,
        "count": count,
    }


def _wait(kind: str, right_QN: Any, p: Floats) -> dict[str, Any]:
    """Samples until the first success, cut at N: measured mean, and ``E min(T, N) = (1 − (1 − p)^N) / p``."""
    samples = right_QN.shape[1]
    wait_Q = np.where(right_QN.any(-1), right_QN.argmax(-1) + 1, samples)
    survives_QN = (1 - p[:, None]) ** np.arange(samples)  # P(T > n)
    mean_Q = survives_QN.sum(-1)
    square_Q = (survives_QN * (2 * np.arange(samples) + 1)).sum(-1)
    return {
        "class": kind,
        "what": f"samples to the first success (at most {samples})",
        "measured": float(wait_Q.mean()),
        "expected": float(mean_Q.mean()),
        "sd": float((square_Q - mean_Q**2).sum() ** 0.5) / len(p),
        "count": len(p),
    }


def _learning(base: Run, out: Path, seed: int) -> dict[str, list[float]]:
    """Mean reward of every class's rollouts in windows of a GRPO run."""
    run = RunConfig(
        out=str(out / "grpo"),
        steps=STEPS,
        seed=seed,
        save_every=50,
        rollouts_every=EVERY,
        rollouts_kept=PROMPTS * GROUP,
    )
    batch = BatchConfig(prompts=PROMPTS, samples=GROUP)
    recipe = Recipe(ModelConfig(str(base.model)), TASK, GRPO(), SAMPLING, batch, OptimiserConfig(lr=1e-3), run)
    folder = online_stage(recipe).path / "rollouts"
    curves: dict[str, list[float]] = {}
    for end in range(WINDOW, STEPS + 1, WINDOW):
        seen: dict[str, list[float]] = {}
        for step in range(end - WINDOW + EVERY, end + 1, EVERY):
            for line in read_json_lines(folder / f"step-{step:06d}.jsonl"):
                seen.setdefault(TASK.stratum(line["episode"], "train"), []).append(line["reward"])
        for kind in CLASSES:
            curves.setdefault(kind, []).append(float(np.mean(seen[kind])) if kind in seen else float("nan"))
    return curves


def _pictures(found: Sequence[Mapping[str, Any]]) -> list[Picture]:
    waits = [s for s in found[0]["shares"] if s["what"].startswith("first")]
    doublings = [float(np.log2(n)) for n in WAITS]
    lines = []
    for kind in CLASSES:
        own = [s for s in waits if s["class"] == kind]
        lines.append(Series(f"p ≈ {kind}, measured", doublings, [s["measured"] for s in own]))
    formula = [
        Series(f"p ≈ {kind}, formula", doublings, [s["expected"] for s in waits if s["class"] == kind])
        for kind in CLASSES
    ]
    steps = list(range(WINDOW, STEPS + 1, WINDOW))
    learning = [over_seeds(f"p ≈ {kind}", steps, [one["curves"][kind] for one in found]) for kind in CLASSES]
    return [
        Picture(
            "Waiting for luck",
            curve(
                [*lines, *formula], title="First success within n samples", unit="share", x_label="doublings: n = 2^x"
            ),
            "Measured shares lie on the formula 1 − (1 − p)ⁿ averaged over the questions of a class.",
        ),
        Picture(
            "Then it comes sooner",
            curve(learning, title="Mean reward while GRPO runs", unit=f"training questions, windows of {WINDOW} steps"),
            "Questions whose successes are rarest are learnt last, since few of their groups carry a signal.",
        ),
    ]


def _row(share: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "chance": share["class"],
        "what": share["what"],
        "measured": f"{share['measured']:.4f}",
        "formula": f"{share['expected']:.4f}",
        "interval": f"{share['low']:.4f} – {share['high']:.4f}",
    }
