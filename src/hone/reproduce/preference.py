"""Human feedback in miniature: ratings, reward models and their noise ceiling, before a judge whose mind is known.

Reviews are generated and judged by a noisy person (:mod:`hone.envs.review_judge`). Measured are: whether ratings of
writers and of answers recover the judge's order; how the held-out accuracy of a reward model grows with judgements,
trained on pairs, by regression on ratings computed from the same judgements, and after pretraining on scores of
strangers; and how well the best of them is calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hone.algorithms.preference import Preference
from hone.algorithms.regression import Regression
from hone.core.feedback import Answer, Comparison, comparisons_of
from hone.data.feedback.reading import read_feedback
from hone.envs.review_judge import NoisyJudge, gold
from hone.envs.tasks.reviews import Reviews
from hone.evaluate.estimates import t_mean
from hone.evaluate.preferences import PreferenceEvaluation, judge
from hone.functional.scalar_reward import scalar_rewards
from hone.models.config import ModelConfig
from hone.models.reward_files import load_reward
from hone.models.tiny import TinyConfig
from hone.report.charts import Series, curve, over_seeds
from hone.report.page import write_report
from hone.report.preferences import calibration_chart
from hone.reproduce._writers import ladder
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import fit_stage, reward_stage, rows_file, seed_folder, seed_table
from hone.training.feedback import FeedbackConfig
from hone.training.fit import DataConfig, FitRecipe
from hone.training.recipe import OptimiserConfig, RunConfig
from hone.training.reward import RewardRecipe
from hone.training.run import Run

TASK = Reviews()
SIZES = (32, 128, 512, 1024)
"""Prompts whose four answers a person ranked: six comparisons each."""
ANSWERS, STRANGERS, HELD_OUT, PASSES = 4, 768, 600, 6
ARMS = ("pairs", "regression", "pretrained")

NOTES = (
    "The judge's choices are Bradley-Terry exactly: it ranks four answers by their true worth plus Gumbel noise. So "
    "the best possible accuracy on held-out judgements, that of somebody who knows its mind, is computed, not assumed.",
    "Held-out prompts lie on the other side of the split, and no held-out answer stands in any training file.",
    "Regression learns from the very same rankings, turned into one number per answer by Bradley-Terry within the "
    "prompt. Pretraining sees what strangers think of other reviews: their scores ignore what the reader minds, so "
    "they agree with the judge in part. It costs extra compute that the other arms do not get.",
    "All reward models begin with the same language model, pretrained on reviews good and bad, which knows the "
    "language and nothing of the judge.",
)


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Run the whole comparison once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    ceiling = _mean([one["ceiling"] for one in found])
    accuracy = {arm: [_mean([one["accuracy"][arm][i] for one in found]) for i in range(len(SIZES))] for arm in ARMS}
    ahead = accuracy["pretrained"][0] - accuracy["pairs"][0]
    measures = {
        f"{arm}, {size} prompts": [one["accuracy"][arm][i] for one in found]
        for arm in ARMS
        for i, size in enumerate(SIZES)
    } | {
        name: [one[name] for one in found]
        for name in (
            "ceiling",
            "pretraining_alone",
            "writers_bradley_terry",
            "writers_elo",
            "answers",
            "calibration_error",
        )
    }
    pmp = (
        f"Preference-model pretraining is {'ahead' if ahead > 0 else 'not ahead'} at {SIZES[0]} prompts "
        f"({100 * accuracy['pretrained'][0]:.1f} % against {100 * accuracy['pairs'][0]:.1f} %)"
    )
    summary: dict[str, Any] = {
        "seeds": list(seeds),
        "ranked_prompts": list(SIZES),
        "comparisons": [size * ANSWERS * (ANSWERS - 1) // 2 for size in SIZES],
        "noise_ceiling": ceiling,
        "accuracy": accuracy,
        "pretraining_ahead_at_the_smallest_size": bool(ahead > 0),
        "per_seed": measures,
        "calibration": found[0]["evaluation"]["calibration"],
        "length": found[0]["evaluation"]["length"],
    }
    return Reproduction(
        title="Learning what people prefer",
        headline=f"With {SIZES[-1]:,} ranked prompts a reward model agrees with held-out judgements in "
        f"{100 * accuracy['pairs'][-1]:.1f} %, the noise ceiling being {100 * ceiling:.1f} %. {pmp}.",
        summary=summary,
        checks=_checks(found, accuracy, ceiling),
        pictures=_pictures(found),
        notes=(*NOTES, pmp + "."),
        tables={"Seeds": seed_table(seeds, measures)},
    )


def _checks(found: Sequence[Mapping[str, Any]], accuracy: Mapping[str, Sequence[float]], ceiling: float) -> list[Check]:
    pairs = accuracy["pairs"]
    return [
        Check("accuracy of pairs at the largest size", pairs[-1], ceiling, 0.05, at_least=True),
        Check(
            "least growth of accuracy from one size to the next", min(np.diff(pairs).tolist()), 0.0, 0.0, at_least=True
        ),
        Check("pretraining ahead at the smallest size", accuracy["pretrained"][0] - pairs[0], 0.0, 0.0, at_least=True),
        *(
            Check(f"correlation with the judge: {name}", _mean([one[key] for one in found]), 0.95, 0.0, at_least=True)
            for name, key in (
                ("writers by Bradley-Terry", "writers_bradley_terry"),
                ("writers by Elo", "writers_elo"),
            )
        ),
    ]


def _one(out: Path, seed: int) -> dict[str, Any]:
    base = fit_stage(
        FitRecipe(
            DataConfig(task=TASK, examples=20000),
            tokenizer="bpe",
            vocabulary=512,
            # Weights of 0.1, good for a model that learns to write, leave too little to be learnt in a small one that
            # learns to judge: 0.04 gave 79 % where 0.1 gave 76 %.
            tiny=TinyConfig(width=64, layers=3, heads=4, max_length=64, initializer_range=0.04),
            optimiser=OptimiserConfig(lr=2e-3, warmup=50, schedule="linear"),
            run=RunConfig(out=str(out / "base"), steps=300, seed=seed, save_every=300),
        )
    )
    held_out, trained = _held_out(seed), out / "data"
    files = {size: rows_file(trained / f"ranked-{size}.jsonl", _rankings(seed)[:size]) for size in SIZES}
    votes = rows_file(trained / "strangers.jsonl", TASK.scored(STRANGERS, seed))
    strangers = _train(out / "strangers", seed, votes, base, STRANGERS)
    evaluations: dict[str, list[PreferenceEvaluation]] = {arm: [] for arm in ARMS}
    for size in SIZES:
        for arm, start in (("pairs", base), ("regression", base), ("pretrained", strangers)):
            run = _train(out / f"{arm}-{size}", seed, files[size], start, size, regression=arm == "regression")
            evaluations[arm].append(_judge(run, held_out))
            if (arm, size) == ("pairs", SIZES[-1]):
                run.write_evaluation("held-out", evaluations[arm][-1].plain())
                write_report(run.path)
    best = evaluations["pairs"][-1]
    return {
        "ceiling": NoisyJudge().ceiling([(str(c.prompt), str(c.chosen.text), str(c.rejected.text)) for c in held_out]),
        "accuracy": {arm: [e.accuracy.value for e in found] for arm, found in evaluations.items()},
        "pretraining_alone": _judge(strangers, held_out).accuracy.value,
        "calibration_error": best.error,
        "evaluation": best.plain(),
        "answers": _answers_recovered(files[SIZES[-1]]),
        **ladder(TASK, seed),
    }


def _rankings(seed: int) -> list[dict[str, Any]]:
    """What a person said of four reviews to each of many training prompts."""
    return TASK.rankings(SIZES[-1], seed, answers=ANSWERS)


def _held_out(seed: int) -> list[Comparison]:
    """Judgements on test prompts of answers that no training file holds."""
    known = {
        text
        for row in [*_rankings(seed), *TASK.scored(STRANGERS, seed)]
        for text in row.get("completions", [row.get("completion")])
    }
    rows = TASK.comparisons(HELD_OUT, seed, split="test", answers=ANSWERS)
    return [
        Comparison(row["prompt"], Answer(row["chosen"]), Answer(row["rejected"]))
        for row in rows
        if row["chosen"] not in known and row["rejected"] not in known
    ]


def _train(out: Path, seed: int, source: str, start: Run, prompts: int, *, regression: bool = False) -> Run:
    rows = 16 if prompts > 64 else 8
    return reward_stage(
        RewardRecipe(
            FeedbackConfig(source, validation=0.0, max_length=64),
            model=ModelConfig(str(start.model)),
            algorithm=Regression(per_prompt=True) if regression else Preference(),
            rows=rows,
            optimiser=OptimiserConfig(lr=1e-3, warmup=10, schedule="linear", weight_decay=0.01),
            run=RunConfig(out=str(out), steps=PASSES * prompts // rows, seed=seed, save_every=10_000),
        )
    )


def _judge(run: Run, held_out: Sequence[Comparison]) -> PreferenceEvaluation:
    return judge(load_reward(run.path).scores, held_out)


def _answers_recovered(source: str) -> float:
    """Correlation, within prompts, of one number per answer (from one ranking each) with the judge's true opinion."""
    comparisons = comparisons_of(read_feedback(source).labels)
    by_prompt: dict[str, list[tuple[float, float]]] = {}
    for rating in scalar_rewards(comparisons):
        prompt, text = str(rating.prompt), str(rating.answer.text)
        by_prompt.setdefault(prompt, []).append((rating.value, gold(prompt, text)))
    centred = np.concatenate([np.array(rows) - np.mean(rows, axis=0) for rows in by_prompt.values()])
    return float(np.corrcoef(centred.T)[0, 1])


def _pictures(found: Sequence[Mapping[str, Any]]) -> list[Picture]:
    doublings = [float(np.log2(size)) for size in SIZES]
    lines = [over_seeds(arm, doublings, [one["accuracy"][arm] for one in found]) for arm in ARMS]
    ceiling = Series("ceiling", doublings, [_mean([one["ceiling"] for one in found])] * len(SIZES))
    first = found[0]
    return [
        Picture(
            "Accuracy grows with judgements",
            curve(
                [*lines, ceiling], title="Held-out accuracy", unit="share of judgements", x_label="ranked prompts, 2^x"
            ),
            "The ceiling is the accuracy of somebody who knows the judge's mind; noise keeps everybody else below it.",
        ),
        Picture(
            "Calibration",
            calibration_chart(first["evaluation"]["calibration"], "Confidence and agreement"),
            "Seed 0, the largest size: how often the judge agrees with the model at each confidence of the model.",
        ),
    ]


def _mean(values: Sequence[float]) -> float:
    return t_mean(list(values)).value
