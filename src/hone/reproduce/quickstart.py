"""A tiny model learns addition: pretraining, SFT on a noisy corpus, GRPO against a verifier, held-out evaluation.

The corpus shows the right procedure a quarter of the time, a procedure without carrying half of the time, and slips
for the rest. Reinforcement learning brings out the procedure that the base model already has; it teaches no new
arithmetic, which is why the base's pass@16 stands beside its accuracy. Rejection fine-tuning on as many sampled
tokens is the control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hone.algorithms.base import Algorithm
from hone.algorithms.grpo import GRPO
from hone.algorithms.rejection import Rejection
from hone.engines.base import Sampling
from hone.envs.tasks.addition import Addition
from hone.evaluate.accuracy import Evaluation
from hone.evaluate.estimates import Estimate
from hone.evaluate.model import EvalConfig, evaluate_model
from hone.models.config import ModelConfig
from hone.models.tiny import TinyConfig
from hone.report.charts import Series, bars, curve, over_seeds
from hone.report.page import write_report
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import fit_stage, online_stage, policy_of, seconds_of, seed_folder, seed_table, tokens_of
from hone.training.fit import DataConfig, FitRecipe
from hone.training.recipe import BatchConfig, OptimiserConfig, Recipe, RunConfig
from hone.training.run import Run

TASK = Addition(digits=3)
SAMPLING = Sampling(max_tokens=8)
STEPS, PROMPTS, SAMPLES = 80, 32, 16
QUESTIONS, PASS_QUESTIONS, PASS_SAMPLES = 2000, 256, 16

NOTES = (
    "Nothing was downloaded. The base model was pretrained on this machine on a corpus that adds correctly a quarter "
    "of the time, forgets to carry half of the time, and slips by one digit for the rest; so it knows the right "
    "procedure and mostly does not use it. GRPO rewards right answers and nothing else.",
    "What reinforcement learning does here is elicitation: the base model answers nearly every question once in 16 "
    "tries (pass@16), and training moves probability to what it could already do. It learns no new arithmetic.",
    "Every number is measured on questions that no stage saw; a question and its commuted twin are always on the "
    "same side. Rejection fine-tuning imitates its own right answers, sampled with as many tokens as GRPO used.",
)


@dataclass(frozen=True)
class Seed:
    """What one seed gave.

    Attributes:
        pretrained, base, grpo, rejection: the runs.
        before, after, control: held-out evaluations of the base, of GRPO and of rejection fine-tuning.
        base_pass: the base model with many samples per question.
    """

    pretrained: Run
    base: Run
    grpo: Run
    rejection: Run
    before: Evaluation
    after: Evaluation
    control: Evaluation
    base_pass: Evaluation


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Run the whole pipeline once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    first = found[0]
    measures = {
        "accuracy_before": [s.before.accuracy.value for s in found],
        "accuracy_after": [s.after.accuracy.value for s in found],
        "greedy_before": [_greedy(s.before) for s in found],
        "greedy_after": [_greedy(s.after) for s in found],
        "base_pass_at_16": [s.base_pass.pass_at[PASS_SAMPLES].value for s in found],
        "rejection_accuracy": [s.control.accuracy.value for s in found],
        "seconds": [seconds_of(s.pretrained, s.base, s.grpo) for s in found],
        "tokens_generated": [float(tokens_of(s.grpo)) for s in found],
        "rejection_tokens_generated": [float(tokens_of(s.rejection)) for s in found],
    }
    summary: dict[str, Any] = {
        "task": "3-digit addition",
        "held_out_questions": first.after.questions,
        **{name: _mean(values) for name, values in measures.items()},
        "tokens_generated": int(_mean(measures["tokens_generated"])),
        "seeds": list(seeds),
        "per_seed": measures,
        "accuracy_per_carry_pattern": {
            name: {"before": first.before.strata[name].accuracy.value, "after": part.accuracy.value}
            for name, part in first.after.strata.items()
        },
    }
    before, after = summary["accuracy_before"], summary["accuracy_after"]
    return Reproduction(
        title="A model learns addition",
        headline=f"Sampled accuracy on {first.after.questions:,} held-out questions went from {before:.1%} "
        f"to {after:.1%} in {STEPS} GRPO steps; pretraining, SFT and GRPO took {summary['seconds']:.0f} s.",
        summary=summary,
        checks=(
            Check("sampled accuracy before", before, 0.5, 0.0, at_most=True),
            Check("sampled accuracy after", after, 0.9, 0.0, at_least=True),
        ),
        pictures=_pictures(found),
        notes=(*NOTES, _comparison(summary)),
        tables={"Seeds": seed_table(seeds, measures)},
    )


def pretrain(out: Path, seed: int) -> tuple[Run, Run]:
    """From scratch on the answers of a noisy corpus, then SFT on fresh examples of it; returns both runs.

    Only answers are in the loss: a model that is also made to predict the random operands spends its capacity on
    them, and was right once in a hundred after as many steps (docs/LOG.md).
    """
    pretrained = fit_stage(
        FitRecipe(
            DataConfig(task=TASK, examples=80000),
            tiny=TinyConfig(width=96, layers=3, heads=4, max_length=64),
            optimiser=OptimiserConfig(lr=2e-3, warmup=100, schedule="linear", final=0.3, weight_decay=0.01),
            run=RunConfig(out=str(out / "pretrained"), steps=1100, seed=seed, save_every=550, evaluate_every=275),
        )
    )
    base = fit_stage(
        FitRecipe(
            DataConfig(task=TASK, examples=40000),
            model=ModelConfig(str(pretrained.model)),
            optimiser=OptimiserConfig(lr=1e-3, warmup=20, schedule="linear", weight_decay=0.01),
            run=RunConfig(out=str(out / "base"), steps=400, seed=seed + 1000, save_every=400, evaluate_every=200),
        )
    )
    return pretrained, base


def _one(out: Path, seed: int) -> Seed:
    pretrained, base = pretrain(out, seed)
    grpo = online_stage(_online(base, GRPO(), out / "grpo", seed, BatchConfig(PROMPTS, SAMPLES, updates=2), STEPS))
    # The same number of rollouts in ten larger steps, each imitated in small batches for two epochs.
    large = BatchConfig(PROMPTS * STEPS // 10, SAMPLES, epochs=2, updates=16)
    rejection = online_stage(_online(base, Rejection(), out / "rejection", seed, large, 10))
    wide = EvalConfig(questions=QUESTIONS, seed=seed)
    before, after, control = (evaluate_model(policy_of(r), TASK, SAMPLING, wide)[0] for r in (base, grpo, rejection))
    deep = EvalConfig(questions=PASS_QUESTIONS, samples=PASS_SAMPLES, greedy=False, seed=seed)
    base_pass, _ = evaluate_model(policy_of(base), TASK, SAMPLING, deep)
    for run, result in ((grpo, after), (rejection, control)):
        run.write_evaluation("before", before.plain())
        run.write_evaluation("after", result.plain())
        write_report(run.path)
    return Seed(pretrained, base, grpo, rejection, before, after, control, base_pass)


def _online(base: Run, algorithm: Algorithm, out: Path, seed: int, batch: BatchConfig, steps: int) -> Recipe:
    run = RunConfig(out=str(out), steps=steps, seed=seed, save_every=20, evaluate_every=max(steps // 12, 1))
    return Recipe(ModelConfig(str(base.model)), TASK, algorithm, SAMPLING, batch, OptimiserConfig(lr=3e-4), run)


def _pictures(found: Sequence[Seed]) -> list[Picture]:
    lines = [
        _learning("GRPO", [s.grpo for s in found], found),
        _learning("rejection", [s.rejection for s in found], found),
    ]
    names = list(found[0].after.strata)
    parts: Mapping[str, list[Estimate]] = {
        "before": [found[0].before.strata[n].accuracy for n in names],
        "after GRPO": [found[0].after.strata[n].accuracy for n in names],
    }
    whole: Mapping[str, list[Estimate]] = {
        "base": [found[0].before.accuracy, *([found[0].before.greedy] if found[0].before.greedy else [])],
        "rejection": [
            found[0].control.accuracy,
            *([found[0].control.greedy] if found[0].control.greedy else []),
        ],
        "GRPO": [found[0].after.accuracy, *([found[0].after.greedy] if found[0].after.greedy else [])],
    }
    return [
        Picture(
            "Learning",
            curve(lines, title="Held-out accuracy", unit="sampled at temperature 1", x_label="tokens generated"),
            "Accuracy on held-out questions against the tokens the policy has sampled to learn from.",
        ),
        Picture(
            "Before and after",
            bars(["sampled", "greedy"], whole, title="Held-out accuracy", percent=True),
            "Greedy accuracy jumps once the right procedure is the likeliest; sampled accuracy is the honest one.",
        ),
        Picture(
            "Where it carries",
            bars(names, parts, title="Accuracy by carry pattern", percent=True),
            "Which columns carry, hundreds to ones: a base without any chance on a pattern could not learn it.",
        ),
    ]


def _comparison(summary: Mapping[str, Any]) -> str:
    """What the control says, in its own numbers."""
    ours, control = summary["accuracy_after"], summary["rejection_accuracy"]
    verdict = "ahead of" if control > ours else "behind"
    return (
        f"Rejection fine-tuning, ten rounds on {summary['rejection_tokens_generated']:,.0f} sampled tokens, ends "
        f"{verdict} GRPO here: {control:.1%} against {ours:.1%} sampled accuracy. It takes twice as many optimiser "
        "steps from as many samples, and imitating what was right is hard to beat where the base model knows the way."
    )


def _learning(label: str, runs: Sequence[Run], found: Sequence[Seed]) -> Series:
    tokens: list[float] = [0.0]
    total = 0.0
    for row in runs[0].metrics:
        total += row["tokens"]
        if "accuracy" in row:
            tokens.append(total)
    accuracies = [
        [s.before.accuracy.value, *(row["accuracy"] for row in run.metrics if "accuracy" in row)]
        for run, s in zip(runs, found, strict=True)
    ]
    return over_seeds(label, tokens, accuracies)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _greedy(result: Evaluation) -> float:
    return result.greedy.value if result.greedy else float("nan")
