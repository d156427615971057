"""Over-optimisation: what a reward model likes ever better, the people it stands for like better only for a while.

A policy is trained against a reward model that learnt from a noisy person's rankings, with several weights of the KL
penalty, and its answers are chosen best-of-N by the same model (Gao et al. 2023, arXiv 2210.10760). Both the reward
model (the proxy) and the hidden judge (gold) are drawn against the root of the KL from the fine-tuned policy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hone.evaluate.estimates import best_at_k, bootstrap_mean, t_mean
from hone.functional.kl import best_of_n_kl
from hone.report.charts import Series, curve, over_seeds
from hone.reproduce._policies import ppo
from hone.reproduce._rlhf import Answers, answers, ground, reward_accuracy
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import seed_folder, seed_table
from hone.training.run import Run

BETAS = (0.0, 0.15, 0.5)
RANKED, STEPS, SAMPLES, PROMPTS, BLOCK = 128, 45, 64, 128, 3
SIZES = tuple(2**i for i in range(SAMPLES.bit_length()))
"""The N of best-of-N."""
BEST = "best-of-N"

NOTES = (
    "Proxy is the reward model's score, of mean 0 and deviation 1 on the fine-tuned policy's own answers; it is all "
    "that training and the choice of the best see. Gold is the hidden judge's opinion in nats. Final numbers are of "
    "answers to held-out prompts; the curves are of each step's own rollouts, to training prompts.",
    "The KL of PPO is measured on its samples, Σ (log π − log π_sft) over an answer. That of best-of-N is "
    "log N − (N − 1)/N; gold and proxy of the best of N are exact expectations over all choices of N among "
    f"{SAMPLES} samples a prompt.",
)


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """All arms, once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    measures = {
        f"{name}: {what}": [one["arms"][name][what] for one in found]
        for name in found[0]["arms"]
        for what in ("gold_change", "proxy_change", "kl", "distinct")
    } | {"reward model's accuracy": [one["reward_model"]["accuracy"]["value"] for one in found]}
    believed, free = (_mean(measures[f"{_name(0.0)}: {what}_change"]) for what in ("proxy", "gold"))
    held = _mean(measures[f"{_name(BETAS[-1])}: gold_change"])
    summary: dict[str, Any] = {
        "seeds": list(seeds),
        "arms": {name: _mean_of([one["arms"][name] for one in found]) for name in found[0]["arms"]},
        "best_of_n": {
            str(n): _mean_of([one["best_of"][i] for one in found]) | {"kl": best_of_n_kl(n)}
            for i, n in enumerate(SIZES)
        },
        "reward_model": found[0]["reward_model"],
        "per_seed": measures,
    }
    return Reproduction(
        title="What happens when a reward model is believed",
        headline=f"Without a KL penalty the proxy changes by {believed:+.2f} and gold by {free:+.2f}; "
        f"with β = {BETAS[-1]:g} gold changes by {held:+.2f}.",
        summary=summary,
        checks=_checks(measures),
        pictures=_pictures(found),
        notes=NOTES,
        tables={"Seeds": seed_table(seeds, measures)},
    )


def _checks(measures: Mapping[str, Sequence[float]]) -> list[Check]:
    """Against SFT on held-out prompts, means over the seeds."""
    free = _name(0.0)
    checks = [
        Check("without KL: gold, less SFT's", _mean(measures[f"{free}: gold_change"]), 0.0, 0.0, at_most=True),
        Check("without KL: proxy, less SFT's", _mean(measures[f"{free}: proxy_change"]), 0.0, 0.0, at_least=True),
    ]
    for beta in BETAS[1:]:
        for what in ("gold", "proxy"):
            value = _mean(measures[f"{_name(beta)}: {what}_change"])
            checks.append(Check(f"β = {beta:g}: {what}, less SFT's", value, 0.0, 0.0, at_least=True))
    return checks


def _one(out: Path, seed: int) -> dict[str, Any]:
    begun = ground(out, seed, RANKED)
    first = answers(begun, begun.sft)
    arms, steps = {}, {}
    for beta in BETAS:
        run = ppo(begun, beta, STEPS)
        arms[_name(beta)] = compared(answers(begun, run), first)
        steps[_name(beta)] = path_of(run)
    pool = answers(begun, begun.sft, SAMPLES, PROMPTS)
    return {
        "sft": first.plain(),
        "arms": arms,
        "steps": steps,
        "best_of": best_of(pool, SIZES),
        "reward_model": reward_accuracy(begun),
    }


def compared(last: Answers, first: Answers) -> dict[str, Any]:
    """Numbers of a policy, and the change of gold and proxy from the first one's with their intervals."""
    found = last.plain()
    for what in ("gold", "proxy"):
        change = [b - a for a, b in zip(getattr(first, what), getattr(last, what), strict=True)]
        found[f"{what}_change_interval"] = (estimate := bootstrap_mean(change, list(last.prompts))).plain()
        found[f"{what}_change"] = estimate.value
    return found


def best_of(pool: Answers, sizes: Sequence[int]) -> list[dict[str, float]]:
    """Expected gold and proxy of the answer of the highest proxy among N, mean over prompts, for every N."""
    groups: dict[str, list[int]] = {}
    for i, prompt in enumerate(pool.prompts):
        groups.setdefault(prompt, []).append(i)
    found = []
    for n in sizes:
        chosen: dict[str, list[float]] = {"gold": [], "proxy": []}
        for index in groups.values():
            proxy = [pool.proxy[i] for i in index]
            for what, values in chosen.items():
                values.append(best_at_k(proxy, [getattr(pool, what)[i] for i in index], n))
        found.append({what: math.fsum(values) / len(values) for what, values in chosen.items()})
    return found


def path_of(run: Run) -> dict[str, list[float]]:
    """KL, gold and proxy of a run's rollouts, means over blocks of steps, and each block's last step."""
    rows = run.metrics
    names = {"kl": "kl_ref_episode", "gold": "environment/gold", "proxy": "reward"}
    found = {name: blocks([row[column] for row in rows], BLOCK) for name, column in names.items()}
    return found | {"step": [float(row["step"]) for row in rows][BLOCK - 1 :: BLOCK]}


def blocks(values: Sequence[float], size: int) -> list[float]:
    """Means of ``size`` values each; what is left over at the end is dropped."""
    whole = len(values) - len(values) % size
    return [_mean(values[i : i + size]) for i in range(0, whole, size)]


def _pictures(found: Sequence[Mapping[str, Any]]) -> list[Picture]:
    words = {"gold": "Gold, the hidden judge", "proxy": "Proxy, the reward model"}
    captions = {
        "gold": "Without a penalty gold rises with the proxy at first, then turns over; with one the policy stops on "
        "the way. Best-of-N is the baseline that trains nothing.",
        "proxy": "What is optimised. Only with the picture of gold beside it does it say anything.",
    }
    size = (7.2, 3.4)
    roots = [
        Picture(
            f"{words[what]}, against √KL",
            curve(
                [*(_against_root(name, found, what) for name in found[0]["steps"]), _best_line(found, what)],
                title=words[what],
                unit="nats" if what == "gold" else "deviations of SFT's answers",
                x_label="√KL(π‖π_sft) of an answer, √nats",
                size=size,
            ),
            captions[what],
        )
        for what in ("gold", "proxy")
    ]
    steps = [
        Picture(
            f"{words[what]}, over steps",
            curve(
                [
                    over_seeds(name, found[0]["steps"][name]["step"], [one["steps"][name][what] for one in found])
                    for name in found[0]["steps"]
                ],
                title=words[what],
                unit="nats" if what == "gold" else "deviations of SFT's answers",
                size=size,
            ),
        )
        for what in ("gold", "proxy")
    ]
    return [*roots, *steps]


def _against_root(name: str, found: Sequence[Mapping[str, Any]], what: str) -> Series:
    """One arm's way from SFT, means over the seeds at every block of steps."""
    kl = [_mean(list(values)) for values in zip(*(one["steps"][name]["kl"] for one in found), strict=True)]
    return over_seeds(name, [math.sqrt(max(k, 0.0)) for k in kl], [one["steps"][name][what] for one in found])


def _best_line(found: Sequence[Mapping[str, Any]], what: str) -> Series:
    return over_seeds(
        BEST,
        [math.sqrt(best_of_n_kl(n)) for n in SIZES],
        [[point[what] for point in one["best_of"]] for one in found],
    )


def _name(beta: float) -> str:
    return f"PPO, β = {beta:g}" if beta else "PPO without KL"


def _mean_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over the seeds of what is a number in every row."""
    return {key: _mean([row[key] for row in rows]) for key, value in rows[0].items() if isinstance(value, int | float)}


def _mean(values: Sequence[float]) -> float:
    return t_mean(list(values)).value
