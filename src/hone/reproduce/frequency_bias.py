"""Frequency bias: an agent repeats what it has seen often, whatever it paid, and what RLFT changes about that.

Protocol of "LLMs are Greedy Agents" (arXiv 2504.16078), section 4.2, in miniature: histories of two to ten random
steps whose last action is repeated up to 39 times with its true rewards (an episode has fifty steps, and the model
has read no longer ones), on held-out bandits, before and after fine-tuning. The bandit is that of ``rlft-bandit``; the
base is smaller and reads less, and RLFT takes more and larger steps on fewer episodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hone.algorithms.rlft import RLFT
from hone.core.files import write_json
from hone.evaluate.agents import ModelAgent
from hone.evaluate.diagnostics.frequency_bias import FrequencyBias
from hone.report.charts import Series, curve, over_seeds
from hone.report.diagnostics import KINDS, WIDE
from hone.reproduce._agents import LETTER, base_model, tuned
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.rlft_bandit import TASK
from hone.reproduce.stages import policy_of, seed_folder, seed_table
from hone.training.recipe import BatchConfig, OptimiserConfig

PROTOCOL = FrequencyBias(bandits=16, targets=5, histories=5, repeats=39)
WINDOW = slice(5, 11)
BASE_STEPS, STEPS, PROMPTS, SAMPLES, UPDATES = 150, 20, 8, 16, 8
AGENTS = {"base": "base", "rlft": "after RLFT"}

NOTES = (
    "The base model's frequency bias is planted as its greed is: a fifth of its corpus are players who repeat their "
    "last action, another fifth players with a favourite.",
    "An action is greedy if no tried arm has a higher mean, else frequent if none was pulled more often, else other; "
    "the likeliest action of each history is classed. Repeating a worse arm is the probability of the repeated action "
    "where another tried arm has a higher mean.",
    "The paper repeats up to 100 times; here episodes have 50 steps, and what a tiny model does beyond the lengths "
    "that it has read says nothing.",
)


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Pretrain, fine-tune, examine before and after, once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    frequent = {name: [_in_window(each[name]["shares"]["frequent"]) for each in found] for name in AGENTS}
    worse = {name: [_in_window(each[name]["repeated"]) for each in found] for name in AGENTS}
    bound = {name: [float(each[name]["correlation"] or 0.0) for each in found] for name in AGENTS}
    mean = {name: float(np.mean(values)) for name, values in frequent.items()}
    fall = float(np.mean(worse["base"])) - float(np.mean(worse["rlft"]))
    return Reproduction(
        title="Frequency bias",
        headline=(
            f"At 5 to 10 repeats the likeliest action is the frequent one in {mean['base']:.0%} of histories before "
            f"and {mean['rlft']:.0%} after RLFT."
        ),
        summary={"seeds": list(seeds), "agents": {name: [each[name] for each in found] for name in AGENTS}},
        checks=[
            Check("fall of the frequent share, 5–10 repeats", mean["base"] - mean["rlft"], 0.1, 0.0, at_least=True),
            Check("fall of repeating a worse arm, 5–10 repeats", fall, 0.1, 0.0, at_least=True),
        ],
        pictures=_pictures(found),
        notes=NOTES,
        tables={
            "Frequent share at 5–10 repeats": seed_table(seeds, {AGENTS[n]: v for n, v in frequent.items()}),
            "Probability of repeating a worse arm at 5–10 repeats": seed_table(
                seeds, {AGENTS[n]: v for n, v in worse.items()}
            ),
            "Correlation of repeats and entropy": seed_table(seeds, {AGENTS[n]: v for n, v in bound.items()}),
            "All histories": [_row(title, name, found) for name, title in AGENTS.items()],
        },
    )


def _one(out: Path, seed: int) -> dict[str, dict[str, Any]]:
    base = base_model(TASK, out, seed, steps=BASE_STEPS, layers=2)
    batch, optimiser = BatchConfig(prompts=PROMPTS, samples=SAMPLES, updates=UPDATES), OptimiserConfig(lr=1e-3)
    rlft = tuned(
        base, TASK, RLFT(discount=0.97, beta=0.01), out / "rlft", seed, steps=STEPS, batch=batch, optimiser=optimiser
    )
    runs = {"base": base, "rlft": rlft}
    found: dict[str, dict[str, Any]] = {}
    for name, run in runs.items():
        found[name] = PROTOCOL.examine(ModelAgent(policy_of(run), TASK, LETTER, seed=seed))
        write_json(run.path / "evals" / "frequency_bias.json", found[name])
    return found


def _in_window(values: Sequence[float | None]) -> float:
    return float(np.mean([value for value in values[WINDOW] if value is not None]))


def _row(title: str, name: str, found: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    shares = {kind: np.mean([each[name]["overall"][kind]["value"] for each in found]) for kind in KINDS}
    return {"agent": title, **{kind: f"{value:.3f}" for kind, value in shares.items()}}


def _pictures(found: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[Picture]:
    repeats = list(range(PROTOCOL.repeats + 1))

    def lines(read: str, part: str = "") -> list[Series]:
        runs = {name: [each[name][read] for each in found] for name in AGENTS}
        chosen = {name: [values[part] if part else values for values in each] for name, each in runs.items()}
        return [over_seeds(AGENTS[name], repeats, values) for name, values in chosen.items()]

    def drawn(series: Sequence[Series], title: str, unit: str) -> Any:
        return curve(series, title=title, unit=unit, x_label="repeats of the last action", limits=(0, None), size=WIDE)

    return [
        Picture(
            "Entropy over repeats",
            drawn(lines("entropy"), "Entropy over repeats", "nats"),
            "How sure the agent is of what it does next.",
        ),
        Picture(
            "Frequent share",
            drawn(
                lines("shares", "frequent"), "Frequent share", "histories whose likeliest action is the frequent one"
            ),
            "Greedy goes before frequent, so what is left is repeated without being the best that was seen.",
        ),
        Picture(
            "Repeating a worse arm",
            drawn(lines("repeated"), "Repeating a worse arm", "probability of the repeated action"),
            "Where another tried arm has a higher mean: zero would be right at once.",
        ),
    ]
