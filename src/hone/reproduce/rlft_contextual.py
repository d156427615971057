"""An agent learns whom to recommend what: a contextual bandit with latent factors, from a base that ignores the user.

The world (which movies there are) is the same in every episode, as in the paper's MovieLens bandit, so a policy may
learn it by heart, while LinUCB meets it anew in every episode. Users of held-out episodes were in no training episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hone.algorithms.rlft import RLFT
from hone.core.files import write_json
from hone.envs.acting.face import Face
from hone.envs.tasks.contextual_bandit import ContextualBandit
from hone.report.charts import curve
from hone.reproduce._agents import Played, base_model, curves, played, summed_up, tuned
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import policy_of, seed_folder, seed_table
from hone.tabular.bandits import LinUCB, Random, WithoutContext, play_contextual
from hone.training.recipe import BatchConfig, OptimiserConfig

TASK = ContextualBandit(arms=5, rank=2, horizon=20, face=Face("compact"), invalid=-2.0, train=512, test=64)
BASE_STEPS, STEPS, PROMPTS, SAMPLES, UPDATES = 120, 40, 8, 16, 8
NAMES = {"base": "base", "rlft": "RLFT", "linucb": "LinUCB", "random": "random"}

NOTES = (
    "The base model has read histories of players who do not look at the user. Fine-tuning rewards what a user gives; "
    "with γ = 0, since a recommendation changes no later user.",
    "LinUCB (α = 0.5, identity prior) begins every episode knowing nothing, and has 20 steps for five movies; RLFT has "
    "met these movies in training, with other users. That it may end below LinUCB's regret is therefore no feat of "
    "exploration.",
)


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Pretrain, fine-tune, and play episodes with held-out users, once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    mean = {name: float(np.mean([one[name].regret for one in found])) for name in NAMES}
    room = mean["random"] - mean["linucb"]
    share = {name: (mean["random"] - mean[name]) / room for name in ("base", "rlft")}
    lines = curves(found, NAMES, "regret_T")
    return Reproduction(
        title="Recommending in context",
        headline=(
            f"With users that no training episode had, the regret falls from {mean['base']:.1f} to {mean['rlft']:.1f}; "
            f"LinUCB has {mean['linucb']:.1f} and random play {mean['random']:.1f}."
        ),
        summary={
            "seeds": list(seeds),
            "bandit": "5 arms, 2 latent factors, 20 steps, 100 training users and 100 others",
            "regret": {name: [one[name].regret for one in found] for name in NAMES},
            "invalid": {name: [one[name].invalid for one in found] for name in ("base", "rlft")},
        },
        checks=[
            Check("base: share of the way from random to LinUCB", share["base"], 0.3, 0.0, at_most=True),
            Check("RLFT: share of the way from random to LinUCB", share["rlft"], 0.9, 0.0, at_least=True),
        ],
        pictures=[
            Picture(
                "Regret",
                curve(lines, title="Cumulative regret with held-out users", unit="rating lost", x_label="step"),
                "A straight line is somebody who does not learn within the episode; its slope says how good they are.",
            )
        ],
        notes=NOTES,
        tables={
            "Regret by seed": seed_table(
                seeds, {title: [one[name].regret for one in found] for name, title in NAMES.items()}
            )
        },
    )


def _one(out: Path, seed: int) -> dict[str, Played]:
    base = base_model(TASK, out, seed, steps=BASE_STEPS, layers=2)
    rlft = tuned(
        base,
        TASK,
        RLFT(discount=0.0, beta=0.01),
        out / "rlft",
        seed,
        steps=STEPS,
        batch=BatchConfig(prompts=PROMPTS, samples=SAMPLES, updates=UPDATES),
        optimiser=OptimiserConfig(lr=1e-3),
    )
    found = {
        name: summed_up(played(policy_of(run), TASK, episodes=TASK.test, samples=2), TASK.arms)
        for name, run in (("base", base), ("rlft", rlft))
    }
    which, turns = np.repeat(np.arange(TASK.test), 8), np.tile(np.arange(8), TASK.test)
    for name, agent in (("linucb", LinUCB()), ("random", WithoutContext(Random()))):
        found[name] = Played.of(play_contextual(agent, TASK.bandits("test", which, turns), TASK.horizon, seed))
    write_json(
        out / "numbers.json", {name: {"regret": each.regret, "reward": each.gain} for name, each in found.items()}
    )
    return found
