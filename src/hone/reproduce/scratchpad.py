"""Scratchpad: a reward for right answers alone teaches a model to think before it answers.

The base model has learnt to multiply with written working, and then, in fine-tuning, that most people just answer
(mostly wrongly). GRPO sees nothing but whether the final answer is right; working is free and never asked for. It comes
back because it pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hone.algorithms.grpo import GRPO
from hone.core.types import Trajectory
from hone.engines.base import Sampling
from hone.envs.tasks.multiplication import Multiplication
from hone.evaluate.accuracy import Evaluation
from hone.evaluate.model import EvalConfig, evaluate_model
from hone.models.config import ModelConfig
from hone.models.tiny import TinyConfig
from hone.report.charts import curve, over_seeds
from hone.report.page import write_report
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import fit_stage, online_stage, policy_of, seconds_of, seed_folder, seed_table, tokens_of
from hone.training.fit import DataConfig, FitRecipe
from hone.training.recipe import BatchConfig, OptimiserConfig, Recipe, RunConfig
from hone.training.run import Run

TASK = Multiplication()
SAMPLING = Sampling(max_tokens=16)
STEPS, QUESTIONS = 50, 1000

NOTES = (
    "The grader reads what follows the last “>”, or the whole answer where there is none; what stands before is free. "
    "So the rise of the working is not rewarded as such: it rises because worked answers are right more often.",
    "The base model can do it: pretraining showed the working of every product, fine-tuning on a corpus in which 70 % "
    "answer directly (one in five of them rightly) made it rare. Reinforcement learning selects the procedure; it "
    "teaches no new arithmetic. The length of an answer grows with it.",
    "Held-out questions are pairs of operands that no stage saw in either order.",
)


@dataclass(frozen=True)
class Seed:
    """One seed: runs, held-out evaluations, and the share of sampled answers with working."""

    runs: tuple[Run, ...]
    grpo: Run
    before: Evaluation
    after: Evaluation
    working_before: float
    working_after: float


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Pretrain, fine-tune, GRPO and evaluate, once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    per_seed = {
        "working_before": [s.working_before for s in found],
        "working_after": [s.working_after for s in found],
        "accuracy_before": [s.before.accuracy.value for s in found],
        "accuracy_after": [s.after.accuracy.value for s in found],
        "greedy_before": [s.before.greedy.value if s.before.greedy else float("nan") for s in found],
        "greedy_after": [s.after.greedy.value if s.after.greedy else float("nan") for s in found],
        "length_before": [s.before.length.value for s in found],
        "length_after": [s.after.length.value for s in found],
        "seconds": [seconds_of(*s.runs) for s in found],
        "tokens_generated": [float(tokens_of(s.grpo)) for s in found],
    }
    summary: dict[str, Any] = {
        "task": "2×2-digit multiplication with an optional scratchpad",
        "held_out_questions": found[0].after.questions,
        **{name: sum(values) / len(values) for name, values in per_seed.items()},
        "seeds": list(seeds),
        "per_seed": per_seed,
    }
    return Reproduction(
        title="Thinking before answering, from reward alone",
        headline=f"Working in {summary['working_before']:.0%} → {summary['working_after']:.0%} of sampled answers; "
        f"held-out greedy accuracy {summary['greedy_before']:.0%} → {summary['greedy_after']:.0%} in {STEPS} steps.",
        summary=summary,
        checks=(
            Check("share of answers with working after", summary["working_after"], 0.9, 0.0, at_least=True),
            Check("held-out greedy accuracy after", summary["greedy_after"], 0.85, 0.0, at_least=True),
        ),
        pictures=_pictures(found),
        notes=NOTES,
        tables={"Seeds": seed_table(seeds, per_seed)},
    )


def _one(out: Path, seed: int) -> Seed:
    pretrained = fit_stage(
        FitRecipe(
            DataConfig(task=replace(TASK, scratchpad=1.0), examples=60000),
            tiny=TinyConfig(architecture="gpt2", width=96, layers=3, heads=4, max_length=64),
            optimiser=OptimiserConfig(lr=1.5e-3, warmup=100, schedule="linear", final=0.1, weight_decay=0.01),
            run=RunConfig(out=str(out / "pretrained"), steps=1800, seed=seed, save_every=600, evaluate_every=300),
        )
    )
    base = fit_stage(
        FitRecipe(
            DataConfig(task=TASK, examples=40000),
            model=ModelConfig(str(pretrained.model)),
            optimiser=OptimiserConfig(lr=7e-4, warmup=20, schedule="linear", weight_decay=0.01),
            run=RunConfig(out=str(out / "base"), steps=300, seed=seed + 1000, save_every=300, evaluate_every=100),
        )
    )
    run = RunConfig(out=str(out / "grpo"), steps=STEPS, seed=seed, save_every=20, evaluate_every=5)
    batch = BatchConfig(prompts=48, samples=12)
    grpo = online_stage(
        Recipe(ModelConfig(str(base.model)), TASK, GRPO(), SAMPLING, batch, OptimiserConfig(lr=3e-4), run)
    )
    config = EvalConfig(questions=QUESTIONS, seed=seed)
    before, old = evaluate_model(policy_of(base), TASK, SAMPLING, config)
    after, new = evaluate_model(policy_of(grpo), TASK, SAMPLING, config)
    grpo.write_evaluation("before", before.plain())
    grpo.write_evaluation("after", after.plain())
    write_report(grpo.path)
    return Seed((pretrained, base, grpo), grpo, before, after, _working(old), _working(new))


def _working(trajectories: Sequence[Trajectory]) -> float:
    return sum(t.metrics["scratchpad"] for t in trajectories) / len(trajectories)


def _pictures(found: Sequence[Seed]) -> list[Picture]:
    steps = [row["step"] for row in found[0].grpo.metrics]
    columns = {
        "right answers": [[row["reward"] for row in s.grpo.metrics] for s in found],
        "answers with working": [[row["environment/scratchpad"] for row in s.grpo.metrics] for s in found],
    }
    lengths = [[row["length"] for row in s.grpo.metrics] for s in found]
    shares = [over_seeds(name, steps, runs) for name, runs in columns.items()]
    return [
        Picture(
            "Working comes back",
            curve(shares, title="Share of sampled answers", unit="training questions, temperature 1"),
            "Only right answers are rewarded; working rises because worked answers are right.",
        ),
        Picture(
            "Answers grow longer",
            curve([over_seeds("tokens", steps, lengths)], title="Length of an answer", unit="sampled tokens"),
            "Nobody asked for longer answers either.",
        ),
    ]
