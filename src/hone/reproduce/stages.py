"""What reproductions share that are made of runs: stages of :mod:`hone.training.stages`, what they cost, seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hone.core.files import write_json_lines
from hone.evaluate.estimates import t_mean
from hone.models.policy import Policy, load
from hone.training.run import Run
from hone.training.stages import fit_stage as fit_stage
from hone.training.stages import online_stage as online_stage
from hone.training.stages import reward_stage as reward_stage


def policy_of(run: Run) -> Policy:
    """The final model of a run."""
    return load(str(run.model))


def rows_file(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    """Write rows as JSON lines; the path as recipes take it."""
    write_json_lines(path, rows)
    return str(path)


def seconds_of(*runs: Run) -> float:
    """Seconds the runs' steps took, evaluation and all checkpoints but the last included; no loading, no imports."""
    return float(sum(row["seconds_step"] + row.get("seconds_checkpoint", 0.0) for run in runs for row in run.metrics))


def tokens_of(run: Run) -> int:
    """Tokens a run generated (online) or was trained on (supervised)."""
    return int(sum(row["tokens"] for row in run.metrics))


def seed_folder(out: Path, seed: int) -> Path:
    """Where a seed's runs go: the first in ``out`` itself, the others beside them."""
    return out if seed == 0 else out / f"seed-{seed}"


def seed_table(seeds: Sequence[int], measures: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """One row per measure, one column per seed, then mean and spread."""
    rows = []
    for name, values in measures.items():
        row = {
            "measure": name.replace("_", " "),
            **{f"seed {s}": _short(v) for s, v in zip(seeds, values, strict=True)},
        }
        if len(seeds) > 1:
            mean = t_mean(list(values))
            row |= {"mean": _short(mean.value), "± (95 %)": _short((mean.high - mean.low) / 2)}
        rows.append(row)
    return rows


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"
