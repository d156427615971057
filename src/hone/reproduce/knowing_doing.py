"""Knowing and doing: an agent that writes down the right values and acts greedily, and what closes the gap.

Protocol of "LLMs are Greedy Agents" (arXiv 2504.16078), section 4.2, in miniature: at every step the agent writes the
upper confidence bound of every arm and then names an action. The base model has learnt the bounds and, three times in
four, to take the best arm among those tried. RLFT rewards nothing but what the arms pay; thought cloning shows it what
UCB would have written and done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hone.algorithms.rlft import RLFT
from hone.core.files import write_json
from hone.data.experts import Experts
from hone.engines.base import Sampling
from hone.envs.acting.aids import Aids
from hone.envs.acting.face import Face
from hone.envs.acting.rationale import rationale_of
from hone.envs.arms import Gaussian
from hone.envs.tasks.bandit import Bandit
from hone.evaluate.agents import ModelAgent
from hone.evaluate.diagnostics.knowing_doing import DOES, KnowingDoing
from hone.evaluate.estimates import t_mean
from hone.evaluate.subjects import Scripted, Subject
from hone.models.config import ModelConfig
from hone.models.tiny import TinyConfig
from hone.report.charts import bars
from hone.report.diagnostics import confusion_chart
from hone.reproduce._agents import tuned
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import policy_of, seed_folder, seed_table
from hone.tabular.bandits import UCB, Random, play
from hone.tabular.bandits.searching import search
from hone.training.fit import DataConfig, FitRecipe
from hone.training.recipe import BatchConfig, OptimiserConfig, RunConfig
from hone.training.run import Run
from hone.training.stages import fit_stage

TASK = Bandit(
    arms=3,
    horizon=20,
    gaussian=Gaussian("uniform01", noise=0.1),
    face=Face("counts", thoughts=True),
    invalid=-2.0,
    train=512,
    test=64,
)
GREEDY, RANDOM = 0.85, 0.05
THOUGHT = Sampling(max_tokens=16)
BONUS = 1.0
BETA = 0.05
BASE_STEPS, CLONING_STEPS, STEPS, PROMPTS, SAMPLES, UPDATES = 350, 120, 12, 16, 8, 4
AGENTS = {
    "base": "base",
    "rlft": "RLFT",
    "bonus": "RLFT with the exploration bonus",
    "cloned": "thought cloning of UCB",
}
BEST = "reward-optimal search"

NOTES = (
    f"The gap is planted. The base model's corpus writes the right bounds at every step and then takes the largest of "
    f"the arms already tried in {GREEDY:.0%} of the decisions, the largest of all (an untried arm, while there is one) "
    f"in {1 - GREEDY - RANDOM:.0%}, and any arm in {RANDOM:.0%}. So it knows and does not do, by construction; what is "
    "measured is whether reward alone, or an expert's example, closes the gap, and whether the knowledge survives.",
    "The agent reads counts and means as digits and writes a bound of three digits per arm, mean + 1/√n, then a "
    "letter. It knows if the arm that it wrote largest is largest up to the rounding of what is written. It is greedy "
    "if it takes the largest bound among the arms it has tried while another is untried. Steps at which nothing has "
    "been seen do not count.",
    "Greed is not always a fault. Who knows that means are uniform and looks just as long as it pays keeps a good "
    "enough arm while others are untried, which counts as greedy: that share is a row of the table, and reward does "
    "not teach to go below it. With four arms and ten pulls it would be .37, with three arms and twenty pulls it is "
    "about half of that; so many pulls were taken so that exploring is worth its price.",
)


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Plant the gap, fine-tune by reward and by example, examine, once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    greedy = {name: [_given(each[name], "greedy") for each in found] for name in AGENTS}
    knows = {name: [float(each[name]["knows"]["value"]) for each in found] for name in AGENTS}
    mean = {name: float(np.mean(values)) for name, values in greedy.items()}
    return Reproduction(
        title="Knowing and doing",
        headline=(
            f"Of the decisions with a correct rationale {mean['base']:.0%} are greedy before fine-tuning, "
            f"{mean['rlft']:.0%} after RLFT, {mean['bonus']:.0%} with the exploration bonus and {mean['cloned']:.0%} "
            "after thought cloning."
        ),
        summary={"seeds": list(seeds), "agents": {name: [each[name] for each in found] for name in found[0]}},
        checks=[
            Check("share of correct rationales, base", float(np.mean(knows["base"])), 0.8, 0.0, at_least=True),
            Check("share of correct rationales, after RLFT", float(np.mean(knows["rlft"])), 0.8, 0.0, at_least=True),
            Check("fall of the greedy share, RLFT", mean["base"] - mean["rlft"], 0.1, 0.0, at_least=True),
            Check("fall of the greedy share, RLFT with bonus", mean["base"] - mean["bonus"], 0.1, 0.0, at_least=True),
            Check("fall of the greedy share, thought cloning", mean["base"] - mean["cloned"], 0.1, 0.0, at_least=True),
        ],
        pictures=_pictures(found),
        notes=NOTES,
        tables={
            "Held-out bandits, mean over seeds": [
                _row(title, name, found) for name, title in {**AGENTS, BEST: BEST}.items()
            ],
            "Greedy share given a correct rationale": seed_table(seeds, {AGENTS[n]: v for n, v in greedy.items()}),
            "Share of correct rationales": seed_table(seeds, {AGENTS[n]: v for n, v in knows.items()}),
            "Regret": seed_table(
                seeds,
                {AGENTS.get(name, name): [float(each[name]["regret"]) for each in found] for name in found[0]},
            ),
        },
    )


def _one(out: Path, seed: int) -> dict[str, dict[str, Any]]:
    planted = Experts(of=TASK, greedy=GREEDY, random=RANDOM)
    base = _fitted(planted, out / "base", seed, BASE_STEPS)
    runs = {
        "base": base,
        "rlft": _tuned(base, TASK, out / "rlft", seed),
        "bonus": _tuned(base, replace(TASK, aids=Aids(bonus=BONUS)), out / "bonus", seed),
        "cloned": _fitted(Experts(of=TASK), out / "cloned", seed, CLONING_STEPS, base),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, run in runs.items():
        found[name] = _examined(ModelAgent(policy_of(run), TASK, THOUGHT, seed=seed))
        write_json(run.path / "evals" / "knowing_doing.json", found[name])
    rationale = rationale_of(TASK.face, TASK.scene)
    best = search(TASK.arms, TASK.horizon)
    found[BEST] = _examined(Scripted(best, TASK.bandits("test", [0]), seed, rationale), playings=16)
    world = TASK.bandits("test", np.repeat(np.arange(TASK.test), 8), np.tile(np.arange(8), TASK.test))
    for name, player in (("random", Random()), ("UCB 1/√n", UCB(1.0, logarithm=False))):
        found[name] = {"regret": float(play(player, world, TASK.horizon, seed).regret[-1])}
        world.reset(options={"episodes": world.episodes_N, "sample": world.samples_N})
    return found


def _examined(subject: Subject, playings: int = 2) -> dict[str, Any]:
    """The confusion, and what the same episodes cost."""
    examined = KnowingDoing(episodes=TASK.test, samples=playings).examine(subject)
    which, samples = np.repeat(np.arange(TASK.test), playings), np.tile(np.arange(playings), TASK.test)
    return {**examined, "regret": float(subject.play(which, samples).history.regret[-1])}


def _fitted(experts: Experts, out: Path, seed: int, steps: int, base: Run | None = None) -> Run:
    """A model from scratch, or the base, on what experts think and do."""
    tiny = TinyConfig(architecture="gpt2", width=64, layers=3, heads=4, max_length=64)
    return fit_stage(
        FitRecipe(
            DataConfig(task=experts, examples=min(steps * 64, 20000)),
            model=ModelConfig(str(base.model)) if base else None,
            tiny=TinyConfig() if base else tiny,
            rows=64,
            optimiser=OptimiserConfig(
                lr=1e-3 if base else 3e-3, warmup=5 if base else 50, schedule="linear", final=0.1
            ),
            run=RunConfig(out=str(out), steps=steps, seed=seed, save_every=steps),
        )
    )


def _tuned(base: Run, task: Bandit, out: Path, seed: int) -> Run:
    """RLFT from the base."""
    batch, optimiser = BatchConfig(prompts=PROMPTS, samples=SAMPLES, updates=UPDATES), OptimiserConfig(lr=1e-3)
    return tuned(
        base, task, RLFT(beta=BETA), out, seed, steps=STEPS, batch=batch, optimiser=optimiser, sampling=THOUGHT
    )


def _given(found: Mapping[str, Any], kind: str) -> float:
    """NaN of an agent that never knows."""
    value = found["given_known"][kind]["value"]
    return float("nan") if value is None else float(value)


def _row(title: str, name: str, found: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    each = [seed[name] for seed in found]

    def mean(values: Sequence[float]) -> str:
        return f"{np.mean(values):.3f}"

    return {
        "agent": title,
        "knows": mean([float(e["knows"]["value"]) for e in each]),
        **{f"{kind}, given that": mean([_given(e, kind) for e in each]) for kind in DOES},
        "invalid": mean([float(e["invalid"]["value"]) for e in each]),
        "regret": mean([float(e["regret"]) for e in each]),
    }


def _pictures(found: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[Picture]:
    shares = {kind: [t_mean([_given(seed[name], kind) for seed in found]) for name in AGENTS] for kind in DOES}
    drawn = [
        Picture(
            "What is done where the values are known",
            bars(
                list(AGENTS.values()),
                shares,
                title="What is done where the values are known",
                unit="share of decisions with a correct rationale",
                percent=True,
                width=6.2,
            ),
            "Optimal is the arm of largest bound, an untried one while there is one; greedy: of those tried.",
        )
    ]
    for name, title in AGENTS.items():
        figure = confusion_chart(found[0][name], title[0].upper() + title[1:])
        drawn.append(Picture(f"Confusion of {title}", figure, "Seed of the first run; per cent of all decisions."))
    return drawn
