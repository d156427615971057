"""A greedy agent learns to explore: ten-armed bandits, from a base model whose greed its corpus planted.

Protocol of "LLMs are Greedy Agents" (arXiv 2504.16078) in miniature: 64 held-out bandits, 50 steps, ten arms. Means
are uniform on [0, 1] and noise is 0.1 (the paper's text, low noise), so whoever stays with the first arm that pays
does as badly as a random player, and it takes exploration to do better. Regret and coverage over steps, beside
random, greedy and the best-tuned UCB on the same bandits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hone.algorithms.rlft import RLFT
from hone.core.files import write_json
from hone.data.experts import Experts
from hone.envs.acting.aids import Aids
from hone.envs.acting.face import Face
from hone.envs.arms import Gaussian
from hone.envs.tasks.bandit import Bandit
from hone.evaluate.estimates import t_mean
from hone.models.config import ModelConfig
from hone.models.policy import Policy
from hone.report.charts import Series, bars, curve
from hone.reproduce._agents import LETTER, Played, base_model, curves, mean_over, played, summed_up, tuned
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import policy_of, seed_folder, seed_table
from hone.tabular.bandits import UCB, Agent, Greedy, Random, play
from hone.training.fit import DataConfig, FitRecipe
from hone.training.recipe import BatchConfig, OptimiserConfig, RunConfig
from hone.training.run import Run
from hone.training.stages import fit_stage

TASK = Bandit(
    arms=10, gaussian=Gaussian("uniform01", noise=0.1), face=Face("compact"), invalid=-2.0, train=512, test=64
)
BONUS = 4.0
BASE_STEPS, STEPS, PROMPTS, SAMPLES, UPDATES = 300, 24, 16, 16, 4
CLONING_STEPS = 60
PLAYINGS = 2
WIDTHS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
TRAINED = {
    "base": "base",
    "rlft": "RLFT",
    "bonus": "RLFT + bonus",
    "cloned": "cloned UCB",
}
AIDED = {
    "rlft_greedy": "RLFT, temperature 0",
    "rlft_try_all": "RLFT, every arm tried first",
    "rlft_epsilon": "RLFT, one step in ten random",
    "rlft_votes": "RLFT, majority of five",
    "base_greedy": "base, temperature 0",
    "base_try_all": "base, every arm tried first",
}
NUMERIC = {"random": "random", "greedy": "greedy", "ucb": "best-tuned UCB"}

NOTES = (
    "The base model's greed is planted. Its corpus holds histories of random, greedy, nearly greedy, sticky and "
    "favourite-arm players in equal shares, none of which explores and then exploits; a tiny model imitates what it "
    "has read. What is shown is that reward alone removes greed that is there, not that language models come by "
    "theirs this way.",
    "Score: (regret of random − regret) / (regret of random − regret of the best-tuned UCB): 0 is random play, 1 is "
    "UCB with the width and form of bound that are best on the training bandits. All play the same held-out bandits. "
    "A policy may score above 1: it may know how means are distributed, which UCB does not.",
    "Bandit: ten Gaussian arms, means uniform on [0, 1], noise 0.1, 50 pulls. Here a player that is greedy from the "
    "first pull has about the regret of a random one.",
    "Aids named after a comma act while playing only, on the policy that was trained without them; the exploration "
    "bonus acts while training only. The policy explores by chance: at temperature 0 it stays with its first arm.",
)


@dataclass(frozen=True)
class Seed:
    """What one seed gave: every player's held-out episodes."""

    players: Mapping[str, Played]

    def score(self, name: str) -> float:
        """0 is random play, 1 the best-tuned UCB."""
        random, best = self.players["random"].regret, self.players["ucb"].regret
        return (random - self.players[name].regret) / (random - best)

    def plain(self) -> dict[str, dict[str, float]]:
        """Numbers for JSON."""
        return {
            name: {
                "regret": each.regret,
                "coverage": each.coverage,
                "score": self.score(name),
                "invalid": each.invalid,
                "reward": each.gain,
            }
            for name, each in self.players.items()
        }


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Pretrain, fine-tune with and without the bonus, clone UCB, and play held-out bandits, once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    numbers = [seed.plain() for seed in found]
    score = {name: mean_over([each[name] for each in numbers], "score") for name in numbers[0]}
    coverage = {name: mean_over([each[name] for each in numbers], "coverage") for name in numbers[0]}
    gained = 100 * (coverage["bonus"] - coverage["rlft"])
    return Reproduction(
        title="A greedy agent learns to explore",
        headline=(
            f"On {TASK.test} new bandits the score is {score['base']:.2f} before RLFT and {score['rlft']:.2f} after; "
            f"the exploration bonus changes the share of arms tried by {gained:+.0f} points, at a score of "
            f"{score['bonus']:.2f}."
        ),
        summary={
            "seeds": list(seeds),
            "bandit": "10 Gaussian arms, means uniform on [0, 1], noise 0.1, 50 steps",
            "held_out": TASK.test,
            "players": {
                name: {key: [each[name][key] for each in numbers] for key in numbers[0][name]} for name in numbers[0]
            },
        },
        checks=[
            Check("score after RLFT", score["rlft"], 0.7, 0.0, at_least=True),
            Check("score of the base", score["base"], 0.35, 0.0, at_most=True),
            Check("points of coverage that the bonus adds", gained, 20.0, 0.0, at_least=True),
            Check("score with the bonus, above the base's", score["bonus"] - score["base"], 0.0, 0.0, at_least=True),
        ],
        pictures=_pictures(found),
        notes=NOTES,
        tables={
            "Held-out bandits, mean over seeds": [_row(name, numbers) for name in (*NUMERIC, *TRAINED, *AIDED)],
            "Score by seed": seed_table(
                seeds, {title: [each[name]["score"] for each in numbers] for name, title in TRAINED.items()}
            ),
            "Coverage by seed": seed_table(
                seeds, {title: [each[name]["coverage"] for each in numbers] for name, title in TRAINED.items()}
            ),
        },
    )


def _one(out: Path, seed: int) -> Seed:
    base = base_model(TASK, out, seed, steps=BASE_STEPS, layers=3)
    runs = {
        "base": base,
        "rlft": _tuned(base, TASK, out / "rlft", seed),
        "bonus": _tuned(base, replace(TASK, aids=Aids(bonus=BONUS)), out / "bonus", seed),
        "cloned": _cloned(base, out / "cloned", seed),
    }
    policies = {name: policy_of(run) for name, run in runs.items()}
    players = {name: _episodes(policy, TASK) for name, policy in policies.items()}
    still, tried = replace(LETTER, temperature=0.0), replace(TASK, aids=Aids(try_all=True))
    for name in ("base", "rlft"):
        players[f"{name}_greedy"] = summed_up(
            played(policies[name], TASK, episodes=TASK.test, sampling=still), TASK.arms
        )
        players[f"{name}_try_all"] = _episodes(policies[name], tried)
    players["rlft_epsilon"] = _episodes(policies["rlft"], replace(TASK, aids=Aids(epsilon=0.1)))
    players["rlft_votes"] = _episodes(policies["rlft"], replace(TASK, aids=Aids(votes=5)), samples=1)
    result = Seed(players | _numeric(seed))
    write_json(out / "numbers.json", result.plain())
    return result


def _tuned(base: Run, task: Bandit, out: Path, seed: int) -> Run:
    """RLFT from the base."""
    batch, optimiser = BatchConfig(prompts=PROMPTS, samples=SAMPLES, updates=UPDATES), OptimiserConfig(lr=6e-4)
    return tuned(base, task, RLFT(discount=0.97, beta=0.01), out, seed, steps=STEPS, batch=batch, optimiser=optimiser)


def _cloned(base: Run, out: Path, seed: int) -> Run:
    """The base fine-tuned on what UCB would have answered."""
    experts = Experts(of=TASK, agent="ucb", c=0.2, ends=False)
    return fit_stage(
        FitRecipe(
            DataConfig(task=experts, examples=CLONING_STEPS * 64),
            model=ModelConfig(str(base.model)),
            rows=64,
            optimiser=OptimiserConfig(lr=1e-3, warmup=5, schedule="linear"),
            run=RunConfig(out=str(out), steps=CLONING_STEPS, seed=seed, save_every=CLONING_STEPS),
        )
    )


def _episodes(policy: Policy, task: Bandit, samples: int = PLAYINGS) -> Played:
    return summed_up(played(policy, task, episodes=TASK.test, samples=samples), TASK.arms)


def _numeric(seed: int) -> dict[str, Played]:
    """Random, greedy and the best UCB, which is found on the training bandits."""
    widths: list[Agent] = [UCB(c, logarithm=logarithm) for c in WIDTHS for logarithm in (False, True)]
    best = min(widths, key=lambda agent: _played(agent, "train", TASK.train, 4, seed).regret)
    players: dict[str, Agent] = {"random": Random(), "greedy": Greedy(), "ucb": best}
    return {name: _played(agent, "test", TASK.test, 32, seed) for name, agent in players.items()}


def _played(agent: Agent, split: str, episodes: int, samples: int, seed: int) -> Played:
    which, turns = np.repeat(np.arange(episodes), samples), np.tile(np.arange(samples), episodes)
    return Played.of(play(agent, TASK.bandits(split, which, turns), TASK.horizon, seed))


def _pictures(found: Sequence[Seed]) -> list[Picture]:
    shown = {**TRAINED, **NUMERIC}

    def lines(read: str) -> list[Series]:
        return curves([seed.players for seed in found], shown, read)

    players = {**TRAINED, **AIDED}
    scores = [t_mean([seed.score(name) for seed in found]) for name in players]
    return [
        Picture(
            "Regret",
            curve(lines("regret_T"), title="Cumulative regret on held-out bandits", unit="reward lost", x_label="step"),
            "A straight line loses as much at every step; a curve that flattens has found a good arm and keeps it.",
        ),
        Picture(
            "Coverage",
            curve(lines("coverage_T"), title="Share of the arms tried", unit="coverage", x_label="step"),
            "Where a curve is level no new arm is tried.",
        ),
        Picture(
            "Score",
            bars(
                [title for title, score in zip(players.values(), scores, strict=True) if score.value > 0],
                {"score": [score for score in scores if score.value > 0]},
                title="Score on held-out bandits",
                unit="0: random, 1: best-tuned UCB",
            ),
            "Training, and aids that act while playing. Who has no bar is not better than random play; the table says "
            "how much.",
        ),
    ]


def _row(name: str, numbers: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    each = [seed[name] for seed in numbers]
    return {
        "player": {**TRAINED, **AIDED, **NUMERIC}[name],
        "regret": f"{mean_over(each, 'regret'):.2f}",
        "coverage": f"{mean_over(each, 'coverage'):.2f}",
        "score": f"{mean_over(each, 'score'):.2f}",
        "invalid": f"{mean_over(each, 'invalid'):.3f}",
    }
