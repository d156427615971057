"""The runs of ``hone reproduce rise``: a base, its boost, rounds of RISE, controls. ``rise`` tells of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hone.algorithms.grpo import GRPO
from hone.algorithms.nll import NLL
from hone.algorithms.rwr import RWR
from hone.core.files import read_json_lines, write_json_lines
from hone.data.attempts import Criterion, Dialogue
from hone.engines.base import Sampling
from hone.envs.tasks.retry import Retry
from hone.envs.tasks.subset_sum import SubsetSum
from hone.evaluate.model import EvalConfig
from hone.evaluate.retries import evaluate_retries
from hone.evaluate.turns import TurnEvaluation
from hone.models.config import ModelConfig
from hone.models.tiny import TinyConfig
from hone.reproduce.stages import fit_stage, online_stage, policy_of
from hone.rollout.improvers.best_of import BestOf
from hone.rollout.improvers.solver import Solver
from hone.training.attempts import AttemptsConfig, AttemptsRecipe, fit_attempts, load_examples
from hone.training.fit import DataConfig, FitRecipe
from hone.training.inner import replaced
from hone.training.recipe import BatchConfig, OptimiserConfig, Recipe, RunConfig
from hone.training.rounds.base import RoundsRecipe, RoundsRun, train_rounds
from hone.training.rounds.rise import Rise
from hone.training.run import Run
from hone.training.stages import stage

CORPUS = SubsetSum(pick=2, turns=2, repeat=0.5, heed=0.35)
TASK = SubsetSum(pick=2, low=5, high=13, train=8000, test=1000, dishonest=-1.0)
SHIFTED = replace(TASK, low=14, high=0, test=600)
TURNS, WINDOW, SAMPLING = 5, 2, Sampling(max_tokens=10)
ROUNDS, PROMPTS, SAMPLES = 3, 500, 2
PASSES, ROWS, LR, TAU, MOST = 4, 32, 2e-3, 0.3, 5.0
QUESTIONS, FEWER = 1000, 400
BASE_STEPS, BOOST_STEPS = 340, 40


@dataclass(frozen=True)
class Variant:
    """How rounds are played and learnt from.

    Attributes:
        improver: who gives the better answers.
        criterion: which of them are learnt.
        improved: at every turn or at the last.
        own: the policy's own attempts are learnt too.
        algorithm: how.
        window: attempts in view.
        turns: attempts in a dialogue.
        prompts: questions in a round.
        rounds: how many.
    """

    improver: Any = field(default_factory=lambda: BestOf(SAMPLES, ties="held"))
    criterion: Criterion = "best"
    improved: Literal["every", "last"] = "every"
    own: bool = True
    algorithm: Any = field(default_factory=lambda: RWR(TAU, most=MOST))
    window: int = WINDOW
    turns: int = 3
    prompts: int = PROMPTS
    rounds: int = ROUNDS


def answers(variant: Variant) -> int:
    """How many answers the policy samples in a variant's rounds."""
    more = variant.improver.samples if isinstance(variant.improver, BestOf) else 0
    places = variant.turns if variant.improved == "every" else 1
    return variant.rounds * variant.prompts * (variant.turns + more * places)


SELF, TAUGHT = "self-distillation", "distillation"
VARIANTS = {SELF: Variant(), TAUGHT: Variant(improver=Solver())}
STAR = Variant(
    improver=BestOf(4),
    criterion="success",
    algorithm=NLL(),
    turns=1,
    prompts=answers(VARIANTS[SELF]) // (ROUNDS * 5),
)
ABLATED_ROUNDS = 2
ABLATIONS = {
    "centring none": Variant(algorithm=RWR(TAU, most=MOST, centring="none")),
    "criterion success": Variant(criterion="success"),
    "criterion all": Variant(criterion="all"),
    "best of 6": Variant(improver=BestOf(6, ties="held")),
    "improved answers only": Variant(own=False),
    "improved: the last turn": Variant(improved="last"),
    "window 1": Variant(window=1),
    "window 3": Variant(window=3),
}
GRPO_PROMPTS, GRPO_SAMPLES = 32, 8
GRPO_STEPS = answers(VARIANTS[SELF]) // (GRPO_PROMPTS * GRPO_SAMPLES * Variant.turns)


def retry(of: SubsetSum, window: int = WINDOW, **options: Any) -> Retry:
    """The task of a question asked again and again."""
    return Retry(of, turns=TURNS, retry="!{question}", separator="", window=window, **options)


def base(out: Path, seed: int) -> Run:
    """A model that adds and judges, picks badly, and heeds its own verdict in one later attempt of three."""
    return fit_stage(
        FitRecipe(
            DataConfig(task=CORPUS, examples=60 * BASE_STEPS),
            tiny=TinyConfig(width=64, layers=2, heads=4, max_length=96),
            optimiser=OptimiserConfig(lr=5e-3, warmup=50, schedule="linear", final=0.1, weight_decay=0.01),
            rows=128,
            run=RunConfig(out=str(out), steps=BASE_STEPS, seed=seed, save_every=BASE_STEPS),
        )
    )


def boost(out: Path, start: Run, seed: int) -> Run:
    """Fine-tuned on dialogues about targets in the range, with a few more right picks: the paper's boost."""
    task = replace(CORPUS, right=0.3, low=TASK.low, high=TASK.high)
    return fit_stage(
        FitRecipe(
            DataConfig(task=task, examples=128 * BOOST_STEPS),
            model=ModelConfig(str(start.model)),
            rows=128,
            optimiser=OptimiserConfig(lr=2e-3, warmup=10, schedule="linear", weight_decay=0.01),
            run=RunConfig(out=str(out), steps=BOOST_STEPS, seed=seed + 1000, save_every=BOOST_STEPS),
        )
    )


def rise(out: Path, start: Run, seed: int, variant: Variant) -> Run:
    """Rounds of a variant."""
    kind = Rise(
        rounds=variant.rounds,
        keep="last",
        prompts=variant.prompts,
        turns=variant.turns,
        improver=variant.improver,
        sampling=SAMPLING,
        passes=PASSES,
    )
    kind = replaced(
        kind,
        {
            "fit.rows": ROWS,
            "fit.data.criterion": variant.criterion,
            "fit.data.improved": variant.improved,
            "fit.data.own": variant.own,
            "fit.data.after_correct": "keep",
            "fit.algorithm": variant.algorithm,
            "fit.optimiser": OptimiserConfig(lr=LR, warmup=5, schedule="linear"),
        },
    )
    recipe = RoundsRecipe(ModelConfig(str(start.model)), retry(TASK, variant.window), kind, RoundsRun(str(out), seed))
    return stage(str(out), variant.rounds, lambda _, resume: train_rounds(recipe, resume=resume))


def round_of(run: Run, number: int) -> Run:
    """The fit of a round."""
    return Run(run.path / f"round-{number}" / "fit")


def single_turn(out: Path, start: Run, seed: int, rounds: Run) -> Run:
    """Reward-weighted regression on all that a run has collected, as answers to the bare question: no turns."""
    source = out.parent / f"{out.name}.jsonl"
    logged = [
        Dialogue.of(line)
        for number in range(1, ROUNDS + 1)
        for line in read_json_lines(rounds.path / f"round-{number}" / "collect" / "rows.jsonl")
    ]
    write_json_lines(source, (bare.plain() for dialogue in logged for bare in _bare(dialogue)))
    data = AttemptsConfig(criterion="best", own=True, source=str(source))
    steps = math.ceil(PASSES * len(load_examples(data)[0]) / ROWS)
    recipe = AttemptsRecipe(
        data,
        ModelConfig(str(start.model)),
        RWR(TAU, most=MOST),
        rows=ROWS,
        optimiser=OptimiserConfig(lr=LR, warmup=5, schedule="linear"),
        run=RunConfig(out=str(out), steps=steps, seed=seed, save_every=steps),
    )
    return stage(str(out), steps, lambda _, resume: fit_attempts(recipe, resume=resume))


def _bare(dialogue: Dialogue) -> list[Dialogue]:
    """Every turn of a dialogue as if it had been the first."""
    context = dialogue.visits[0].context
    return [replace(dialogue, visits=(replace(visit, context=context),)) for visit in dialogue.visits]


def grpo(out: Path, start: Run, seed: int) -> Run:
    """GRPO on the same retry environment, with as many sampled answers as a run of self-distillation."""
    return online_stage(
        Recipe(
            ModelConfig(str(start.model)),
            replace(retry(TASK), turns=Variant.turns),
            GRPO(),
            SAMPLING,
            BatchConfig(prompts=GRPO_PROMPTS, samples=GRPO_SAMPLES, updates=2),
            OptimiserConfig(lr=5e-4),
            RunConfig(out=str(out), steps=GRPO_STEPS, seed=seed, save_every=GRPO_STEPS),
        )
    )


def evaluate(run: Run, seed: int, questions: int | None = None, *, task: Retry | None = None) -> TurnEvaluation:
    """Five turns and five parallel answers on held-out questions."""
    config = EvalConfig(questions=questions or QUESTIONS, greedy=False, seed=seed)
    return evaluate_retries(policy_of(run), task or retry(TASK), SAMPLING, config)[0]
