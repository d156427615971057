"""RLHF in miniature: from preferences to a policy that has gamed nobody, and kept its words and its language.

From one fine-tuned policy and a noisy person's rankings: through a reward model learnt from them PPO with several
weights of the KL penalty, PPO-ptx, A2C with the KL in the reward and in the loss, and best-of-N; without one DPO and
KTO. Then the loop closed, rounds of new answers, new rankings, a reward model on their union and PPO. All are judged by
the person's mind without noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hone.algorithms.a2c import A2C
from hone.evaluate.estimates import Estimate, t_mean
from hone.report.charts import bars, curve, over_seeds
from hone.report.page import write_report
from hone.reproduce._policies import dpo, kto, optimise, ppo
from hone.reproduce._rlhf import (
    END,
    Answers,
    Ground,
    answers,
    arena,
    chosen,
    ground,
    perplexity,
    pretraining_text,
    reward_accuracy,
)
from hone.reproduce._rounds import ANSWERS, PROMPTS, ROUNDS, online_rounds
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import policy_of, seed_folder, seed_table
from hone.training.recipe import BatchConfig
from hone.training.run import Run

RANKED, STEPS, BEST, LINES = 500, 20, 16, 1000
KEPT = 0.1
WEAK, MAIN, DIVERSE, PTX = "PPO, β = 0.15", "PPO, β = 0.5", "PPO, β = 1", "PPO-ptx, β = 0.5"
DIRECT = ("DPO, β = 0.5", "KTO, β = 0.5")
ON_POLICY = BatchConfig(prompts=96, samples=1)
"""A2C has no ratio and no clip: one update on each step's answers, with a larger learning rate."""

LADDER = ("SFT", *(f"round {number}" for number in range(1, ROUNDS + 1)))
"""The policies before and after every round."""

NOTES = (
    "A win is decided by the hidden judge without noise, between the policy's answer to a held-out prompt and the "
    "fine-tuned policy's (SFT's) answer to the same prompt; equal worth is half a win. No stage saw these prompts, and "
    "the reward model saw nothing but noisy rankings.",
    "Distinct is the number of different texts among the answers, as a share of SFT's. A policy that found one good "
    "review for every prompt would win nearly always and have a handful.",
    "The pretraining text is sums, menus and reviews that answer nobody, none of which is rewarded. Its perplexity "
    "says what of the language is lost on the way; PPO-ptx adds the loss of such text to every update. A share of "
    f"{KEPT:.0%} of the fine-tuning corpus is such text, so that the first policy still knows it.",
    f"The rounds are iterated RLHF: {ROUNDS} times {PROMPTS} new prompts, {ANSWERS} answers of the current policy "
    "each, compared by the noisy person; a new reward model on all rounds' comparisons; a few steps of PPO. Ratings "
    "are of held-out prompts: every two policies meet once on each, before the same noisy person.",
)


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Everything, once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    names = list(found[0]["arms"])
    measures = {
        f"{name}: {what}": [one["arms"][name][what] for one in found]
        for name in names
        for what in ("win_rate", "distinct_of_sft", "kl", "gold", "perplexity_of_sft")
        if what in found[0]["arms"][name]
    } | {f"reward model: {what}": [one["reward_model"][what] for one in found] for what in ("share", "ceiling")}
    measures |= {f"{name}: rating": [one["arena"][name]["rating"] for one in found] for name in LADDER}
    arms = {name: {what: _mean(measures[f"{name}: {what}"]) for what in _whats(measures, name)} for name in names}
    summary: dict[str, Any] = {
        "seeds": list(seeds),
        "gold_win_rate_vs_sft": arms[MAIN]["win_rate"],
        "gold_win_rate_vs_sft_interval": [one["arms"][MAIN]["win_rate_interval"] for one in found],
        "distinct_share_of_sft": arms[MAIN]["distinct_of_sft"],
        "reward_model_accuracy": _mean(measures["reward model: share"]),
        "reward_model_ceiling": _mean(measures["reward model: ceiling"]),
        "perplexity": {name: arms[name]["perplexity_of_sft"] for name in (MAIN, PTX)},
        "arms": arms,
        "arena": [one["arena"] for one in found],
        "per_seed": measures,
        "every_seed": [{**one["arms"], "SFT": one["sft"]} for one in found],
    }
    return Reproduction(
        title="From preference to policy",
        headline=f"PPO's answers beat SFT's in {arms[MAIN]['win_rate']:.0%} of held-out prompts with "
        f"{arms[MAIN]['distinct_of_sft']:.0%} as many different texts; {DIVERSE}: {arms[DIVERSE]['win_rate']:.0%} "
        f"and {arms[DIVERSE]['distinct_of_sft']:.0%}.",
        summary=summary,
        checks=_checks(arms, found),
        pictures=_pictures(found),
        notes=NOTES,
        tables={"Seeds": seed_table(seeds, measures)},
    )


def _checks(arms: Mapping[str, Mapping[str, float]], found: Sequence[Mapping[str, Any]]) -> list[Check]:
    least = min(one["arms"][DIVERSE]["win_rate_interval"]["low"] for one in found)
    plain, ptx = arms[MAIN]["perplexity_of_sft"], arms[PTX]["perplexity_of_sft"]
    rises = np.diff([_mean([one["arena"][name]["rating"] for one in found]) for name in LADDER])
    return [
        Check("PPO with KL: gold win rate against SFT", arms[MAIN]["win_rate"], 0.75, 0.0, at_least=True),
        Check(f"{DIVERSE}: gold win rate against SFT", arms[DIVERSE]["win_rate"], 0.60, 0.0, at_least=True),
        Check(f"{DIVERSE}: lower end of its interval, least of the seeds", least, 0.5, 0.0, at_least=True),
        Check(f"{DIVERSE}: distinct answers ÷ SFT's", arms[DIVERSE]["distinct_of_sft"], 0.70, 0.0, at_least=True),
        Check("PPO-ptx: perplexity of pretraining text ÷ SFT's", ptx, 1.05, 0.0, at_most=True),
        Check("PPO without ptx: the same", plain, 1.05, 0.0, at_least=True),
        Check("rounds: least rise of the rating from one to the next", float(rises.min()), 0.0, 0.0, at_least=True),
    ]


def _one(out: Path, seed: int) -> dict[str, Any]:
    begun = ground(out, seed, RANKED, KEPT)
    lines = pretraining_text(LINES, seed, "held out")
    first, usual = answers(begun, begun.sft), perplexity(policy_of(begun.sft), lines)
    runs, rounds = _policies(begun), online_rounds(begun)
    runs |= {f"round {number}": run for number, run in enumerate(rounds, start=1)}
    players = {"SFT": first} | {name: answers(begun, run) for name, run in runs.items()}
    players[f"best of {BEST}"] = chosen(answers(begun, begun.sft, BEST), BEST)
    arms = {name: against(found, first) for name, found in players.items() if name != "SFT"}
    for name, run in runs.items():
        arms[name]["perplexity_of_sft"] = perplexity(policy_of(run), lines) / usual
    accuracy = reward_accuracy(begun)
    write_report(runs[MAIN].path)
    return {
        "sft": {**first.plain(), "perplexity": usual},
        "arms": arms,
        "steps": {name: _columns(run) for name, run in runs.items() if run not in rounds and name not in DIRECT},
        "arena": arena(players, seed),
        "reward_model": {**accuracy, "share": accuracy["accuracy"]["value"]},
    }


def _policies(begun: Ground) -> dict[str, Run]:
    """Every policy that learns from the one set of rankings: through the reward model, or directly."""
    reward = A2C(beta=0.5, missing_end=END, whiten_advantages=True)
    loss = A2C(alpha=0.5, missing_end=END, whiten_advantages=True)
    return {
        WEAK: ppo(begun, 0.15, STEPS),
        MAIN: ppo(begun, 0.5, STEPS),
        DIVERSE: ppo(begun, 1.0, STEPS),
        PTX: ppo(begun, 0.5, STEPS, ptx=1.0),
        "A2C, KL in the reward": optimise(begun, "a2c-reward", reward, STEPS, lr=1e-3, batch=ON_POLICY),
        "A2C, KL in the loss": optimise(begun, "a2c-loss", loss, STEPS, lr=1e-3, batch=ON_POLICY),
        DIRECT[0]: dpo(begun, 0.5),
        DIRECT[1]: kto(begun, 0.5),
    }


def against(policy: Answers, first: Answers) -> dict[str, Any]:
    """A policy's numbers beside those of the first."""
    won = policy.wins(first)
    return {
        **policy.plain(),
        "win_rate": won.value,
        "win_rate_interval": won.plain(),
        "distinct_of_sft": policy.distinct / first.distinct,
    }


def _columns(run: Run) -> dict[str, list[float]]:
    names = {"gold": "environment/gold", "kl": "kl_ref_episode", "proxy": "reward"}
    return {"step": [float(row["step"]) for row in run.metrics]} | {
        name: [row[column] for row in run.metrics] for name, column in names.items()
    }


def _pictures(found: Sequence[Mapping[str, Any]]) -> list[Picture]:
    names, arenas = list(found[0]["arms"]), [one["arena"] for one in found]
    wins = [_over(found, name, "win_rate") for name in names]
    distinct = [_over(found, name, "distinct_of_sft") for name in names]
    learnt = [
        over_seeds(name, found[0]["steps"][name]["step"], [one["steps"][name]["gold"] for one in found])
        for name in found[0]["steps"]
    ]
    return [
        Picture(
            "Better answers, and how many different ones",
            bars(
                names, {"wins against SFT": wins, "distinct ÷ SFT's": distinct}, title="Held-out prompts", percent=True
            ),
            "SFT would win half against itself. A policy that collapses wins with few texts.",
        ),
        Picture(
            "Learning",
            curve(learnt, title="The hidden judge's opinion", unit="nats, rollouts of each step", size=(7.2, 3.4)),
            "Nobody asks this judge during training; the reward model stands in for it.",
        ),
        Picture(
            "Rounds climb",
            curve(
                [over_seeds("rating", range(len(LADDER)), [[a[n]["rating"] for n in LADDER] for a in arenas])],
                title="Rating in the arena",
                unit="Bradley-Terry, nats; all policies of this page are on one scale",
                x_label="round",
                size=(7.2, 3.0),
            ),
            "Round 0 is SFT. Each round ranks new answers of its policy, refits the reward model and goes on with PPO.",
        ),
    ]


def _over(found: Sequence[Mapping[str, Any]], name: str, what: str) -> Estimate:
    """The mean over seeds; of one seed the interval of its own, where there is one."""
    values = [one["arms"][name][what] for one in found]
    interval = found[0]["arms"][name].get(f"{what}_interval")
    if len(values) == 1 and interval:
        return Estimate(values[0], interval["low"], interval["high"], interval["count"])
    return t_mean(values)


def _whats(measures: Mapping[str, Sequence[float]], name: str) -> list[str]:
    return [key.removeprefix(f"{name}: ") for key in measures if key.startswith(f"{name}: ")]


def _mean(values: Sequence[float]) -> float:
    return t_mean(list(values)).value
