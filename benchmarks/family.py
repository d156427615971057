"""Every policy gradient on three-digit addition, from the quickstart's base model, over some seeds: a table.

    python benchmarks/family.py runs/quickstart/base/model --out runs/family --seeds 3

One miniature cannot rank algorithms: answers of four tokens, one model, one learning rate.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path

from hone import CISPO, DAPO, GRPO, GSPO, REINFORCE, RLOO, DrGRPO, Rejection, load
from hone.algorithms.base import Algorithm
from hone.evaluate.model import EvalConfig, evaluate_model
from hone.models.config import ModelConfig
from hone.reproduce.quickstart import SAMPLING, TASK
from hone.reproduce.stages import online_stage, tokens_of
from hone.training.recipe import BatchConfig, OptimiserConfig, Recipe, RunConfig
from hone.training.run import Run

GROUPS = BatchConfig(32, 16, updates=4)
MEMBERS: Mapping[str, tuple[Algorithm, BatchConfig]] = {
    "GRPO": (GRPO(), GROUPS),
    "Dr. GRPO": (DrGRPO(length=8), GROUPS),
    "DAPO": (DAPO(), GROUPS),
    "DAPO, `resample = 3`": (DAPO(), BatchConfig(32, 16, updates=4, resample=3)),
    "GSPO, clip 3e-4 / 4e-4": (GSPO(), GROUPS),
    "GSPO, clip 0.05 / 0.05": (GSPO(clip_low=0.05, clip_high=0.05), GROUPS),
    "CISPO": (CISPO(), GROUPS),
    "RLOO": (RLOO(), GROUPS),
    "REINFORCE, 512 × 1": (REINFORCE(), BatchConfig(512, 1, updates=4)),
    "Lite PPO": (GRPO(advantage="batch_std", normaliser="tokens"), GROUPS),
    "2-GRPO, 256 × 2": (GRPO(), BatchConfig(256, 2, updates=4)),
    "rejection": (Rejection(), GROUPS),
}
STEPS = 40


def train(base: str, out: Path, seed: int, algorithm: Algorithm, batch: BatchConfig) -> tuple[Run, float]:
    """One run and its sampled accuracy on 2,000 held-out questions; a finished run is used as it is."""
    config = RunConfig(str(out), STEPS, seed, save_every=STEPS, reference_every=0, rollouts_every=0)
    run = online_stage(Recipe(ModelConfig(base), TASK, algorithm, SAMPLING, batch, OptimiserConfig(lr=3e-4), config))
    measured, _ = evaluate_model(load(str(run.model)), TASK, SAMPLING, EvalConfig(questions=2000, greedy=False))
    return run, float(measured.accuracy.value)


def mean(runs: list[Run], name: str) -> float:
    """Of a metric over steps and runs."""
    return statistics.fmean(row.get(name, 0.0) for run in runs for row in run.metrics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="the base model, for example runs/quickstart/base/model")
    parser.add_argument("--out", type=Path, default=Path("runs/family"))
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    print("| | accuracy by seed | mean ± deviation | tokens | clipped | zero signal |\n|---|---|---|---|---|---|")
    for number, (name, (algorithm, batch)) in enumerate(MEMBERS.items()):
        made = [
            train(given.base, given.out / f"{number}-{seed}", seed, algorithm, batch) for seed in range(given.seeds)
        ]
        runs, accuracy = [run for run, _ in made], [100 * value for _, value in made]
        spread = f" ± {statistics.stdev(accuracy):.1f}" if len(accuracy) > 1 else ""
        print(
            f"| {name} | {' / '.join(f'{a:.1f}' for a in accuracy)} | {statistics.fmean(accuracy):.1f}{spread} "
            f"| {statistics.fmean(tokens_of(run) for run in runs):,.0f} | {mean(runs, 'clip_fraction'):.3f} "
            f"| {mean(runs, 'zero_signal'):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
