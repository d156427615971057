"""RISE in miniature: does a model learn to answer better after its own attempts, and is it the turns that do it?

A tiny model picks digits that are to add up to a target, adds them and says whether they do. It checks itself well and
makes little of it: asked again, it mostly repeats itself or picks anew, whatever its verdict. Rounds of RISE teach it
to keep what is right and to change what is wrong, from the best of its own answers or from an exact solver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hone.evaluate.estimates import Estimate, t_mean
from hone.evaluate.turns import TurnEvaluation, paired
from hone.report.charts import Series, bars, curve, over_seeds
from hone.report.page import write_report
from hone.reproduce import _rise as runs
from hone.reproduce._rise import SELF, TAUGHT, TURNS
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import seed_folder, seed_table
from hone.training.run import Run

ONE, SEQUENCE, PARALLEL = "m1@t1", f"m1@t{TURNS}", f"m{TURNS}@t1"
ARMS = ("base", "boost", SELF, TAUGHT, "STaR", "single-turn RWR", "GRPO over turns")
Evaluations = Mapping[str, TurnEvaluation]

NOTES = (
    "Every number is measured on held-out questions: no stage saw their set of digits with their target, in any order. "
    f"At test nothing is revealed: the same token asks for another attempt {TURNS - 1} times, right or wrong. "
    "The shifted questions have targets above all those that boost and rounds were trained on.",
    f"{SEQUENCE} is the majority over the {TURNS} turns of one run, {PARALLEL} that over {TURNS} parallel answers: "
    "equal compute. Their difference is what turns are worth; the difference to one answer is the flattering one.",
    "The controls begin at the same boosted model. STaR samples as many answers, one turn each, and imitates the right "
    "ones; single-turn RWR learns all that self-distillation has collected, as answers to the bare question; GRPO "
    "plays the same retry environment with as many answers and rewards a run's right attempts.",
    "To all of them a right attempt is worth 1, a wrong one that says so 0, one whose sum or verdict is untrue −1. "
    "That about one later attempt in three heeds its verdict is planted in the base's corpus: a base that never does "
    "so learns to answer faster than to correct itself. What it is worth by itself is seen in the boosted base.",
)


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Run the whole comparison once per seed; with several seeds also the ablations, on the first.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    ablations = _ablations(seed_folder(out, seeds[0]), seeds[0]) if len(seeds) > 1 else {}
    arms = {arm: _means([one["final"][arm] for one in found]) for arm in found[0]["final"]}
    measures = {
        f"{arm}: {name}": [one["final"][arm].named[name].value for one in found]
        for arm in ARMS
        for name in (ONE, SEQUENCE, PARALLEL)
    }
    gained, boosted = (arms[arm][SEQUENCE] - arms[arm][ONE] for arm in (SELF, "boost"))
    summary: dict[str, Any] = {
        "seeds": list(seeds),
        "held_out_questions": found[0]["final"][SELF].questions,
        "arms": arms,
        "shifted": {arm: _means([one["shifted"][arm] for one in found]) for arm in found[0]["shifted"]},
        "turns": {arm: _turns([one["final"][arm] for one in found]) for arm in found[0]["final"]},
        "rounds": {name: [_means(each) for each in _by_round(found, name)] for name in runs.VARIANTS},
        "answers_sampled": {
            name: runs.answers(variant) for name, variant in (*runs.VARIANTS.items(), ("STaR", runs.STAR))
        },
        "ablations": {name: _means([each]) for name, each in ablations.items()},
        "per_seed": measures,
    }
    return Reproduction(
        title="Does a model learn to correct itself?",
        headline=f"After {runs.ROUNDS} rounds of self-distillation the majority over {TURNS} turns is right in "
        f"{arms[SELF][SEQUENCE]:.1%} of {summary['held_out_questions']:,} held-out questions and one answer in "
        f"{arms[SELF][ONE]:.1%}: {100 * gained:+.1f} points, where the boosted base has {100 * boosted:+.1f}.",
        summary=summary,
        checks=[check for name in runs.VARIANTS for check in _checks(name, found)],
        pictures=_pictures(found),
        notes=(*NOTES, _verdict(arms)),
        tables=_tables(summary, measures),
    )


def _one(out: Path, seed: int) -> dict[str, Any]:
    base = runs.base(out / "base", seed)
    boosted = runs.boost(out / "boost", base, seed)
    made: dict[str, Run] = {"base": base, "boost": boosted}
    made |= {name: runs.rise(out / name, boosted, seed, variant) for name, variant in runs.VARIANTS.items()}
    made["STaR"] = runs.rise(out / "star", boosted, seed, runs.STAR)
    made["single-turn RWR"] = runs.single_turn(out / "rwr", boosted, seed, made[SELF])
    made["GRPO over turns"] = runs.grpo(out / "grpo", boosted, seed)
    final = {arm: runs.evaluate(run, seed) for arm, run in made.items()}
    refined = runs.retry(runs.TASK, critique="!")
    final["Self-Refine"] = runs.evaluate(boosted, seed, runs.FEWER, task=refined)
    for arm, run in made.items():
        run.write_evaluation("after", final[arm].plain())
    write_report(made[SELF].path)
    return {
        "final": final,
        "shifted": {
            arm: runs.evaluate(made[arm], seed, task=runs.retry(runs.SHIFTED))
            for arm in ("boost", SELF, TAUGHT, "STaR")
        },
        "rounds": {
            name: [
                runs.evaluate(runs.round_of(made[name], number), seed, runs.FEWER) for number in range(1, runs.ROUNDS)
            ]
            + [final[name]]
            for name in runs.VARIANTS
        },
    }


def _ablations(out: Path, seed: int) -> dict[str, TurnEvaluation]:
    boosted = Run(out / "boost")
    as_above = runs.round_of(Run(out / SELF), runs.ABLATED_ROUNDS)
    found = {"as above": runs.evaluate(as_above, seed, runs.FEWER)}
    for name, variant in runs.ABLATIONS.items():
        variant = replace(variant, rounds=runs.ABLATED_ROUNDS)
        run = runs.rise(out / "ablations" / name.replace(" ", "-").replace(":", ""), boosted, seed, variant)
        task = runs.retry(runs.TASK, variant.window)
        found[name] = runs.evaluate(run, seed, runs.FEWER, task=task)
    return found


def _checks(name: str, found: Sequence[Mapping[str, Any]]) -> list[Check]:
    """What RISE claims of a variant, at the last round; means over seeds, and one paired interval over all of them."""
    ours = [one["final"][name] for one in found]
    boosts, stars = ([one["final"][arm] for one in found] for arm in ("boost", "STaR"))
    arm, boost, star = _means(ours), _means(boosts), _means(stars)
    beyond = (arm[SEQUENCE] - arm[ONE]) - (boost[SEQUENCE] - boost[ONE])
    return [
        Check(f"{name}: turn {TURNS} − turn 1", arm["last − first"], 0.0, 0.0, at_least=True),
        Check(f"{name}: ({SEQUENCE} − {ONE}) − the boosted base's", beyond, 0.05, 0.0, at_least=True),
        Check(
            f"{name}: ({SEQUENCE} − {ONE}) − STaR's, low end of 95 %",
            beyond_star(ours, stars).low,
            0.0,
            0.0,
            at_least=True,
        ),
        Check(f"{name}: {ONE} − the boosted base's", arm[ONE] - boost[ONE], 0.0, 0.0, at_least=True),
        Check(f"{name}: {SEQUENCE} − own {PARALLEL}", arm[SEQUENCE] - arm[PARALLEL], 0.0, 0.0, at_least=True),
        Check(f"{name}: {SEQUENCE} − STaR's {PARALLEL}", arm[SEQUENCE] - star[PARALLEL], 0.0, 0.0, at_least=True),
    ]


def beyond_star(ours: Sequence[TurnEvaluation], theirs: Sequence[TurnEvaluation]) -> Estimate:
    """How much more turns bring to one model than to another, paired by seed and question."""

    def gains(evaluations: Sequence[TurnEvaluation]) -> dict[int, float]:
        return {
            10_000_000 * seed + question: value - each.by_question[ONE][question]
            for seed, each in enumerate(evaluations)
            for question, value in each.by_question[SEQUENCE].items()
        }

    return paired(gains(ours), gains(theirs))


def _means(evaluations: Sequence[TurnEvaluation]) -> dict[str, float]:
    """Every named measure, mean over seeds."""
    return {name: _mean([e.named[name].value for e in evaluations]) for name in evaluations[0].named}


def _turns(evaluations: Sequence[TurnEvaluation]) -> dict[str, list[float]]:
    """Accuracy and flips per turn, mean over seeds."""
    return {
        name: [
            _mean([e.value for e in column])
            for column in zip(*(getattr(each.curves, name) for each in evaluations), strict=True)
        ]
        for name in ("accuracy", "vote", "any", "fixed", "broken", "distinct")
    }


def _by_round(found: Sequence[Mapping[str, Any]], name: str) -> list[list[TurnEvaluation]]:
    return [list(column) for column in zip(*(one["rounds"][name] for one in found), strict=True)]


def _verdict(arms: Mapping[str, Mapping[str, float]]) -> str:
    gains = {arm: 100 * (found[SEQUENCE] - found[PARALLEL]) for arm, found in arms.items()}
    told = ", ".join(f"{arm} {gain:+.1f}" for arm, gain in gains.items())
    return f"At equal compute ({SEQUENCE} − {PARALLEL}, points): {told}."


def _tables(summary: Mapping[str, Any], measures: Mapping[str, Sequence[float]]) -> dict[str, list[dict[str, Any]]]:
    names = (ONE, PARALLEL, SEQUENCE, f"p1@t{TURNS}")
    tables = {
        "Arms": [_row(arm, found, names) for arm, found in summary["arms"].items()],
        f"Targets above {runs.TASK.high}": [_row(arm, found, names) for arm, found in summary["shifted"].items()],
        "Turn by turn": [
            {"": arm, **{f"turn {t}": f"{100 * value:.1f}" for t, value in enumerate(found["accuracy"], start=1)}}
            for arm, found in summary["turns"].items()
        ],
        "Rounds": [
            {"": f"{name}, round {number}", **_row("", found, names)}
            for name, rounds in summary["rounds"].items()
            for number, found in enumerate(rounds, start=1)
        ],
        f"Ablations, after {runs.ABLATED_ROUNDS} rounds": [
            _row(name, found, names) for name, found in summary["ablations"].items()
        ],
        "Seeds": seed_table(summary["seeds"], measures),
    }
    return {name: rows for name, rows in tables.items() if rows}


def _row(label: str, found: Mapping[str, float], names: Sequence[str]) -> dict[str, str]:
    first = {"": label} if label else {}
    values = {name: f"{100 * found[name]:.1f}" for name in names}
    gains = (f"{SEQUENCE} − {ONE}", f"{SEQUENCE} − {PARALLEL}")
    return {**first, **values, **{name: f"{100 * found[name]:+.1f}" for name in gains}}


def _pictures(found: Sequence[Mapping[str, Any]]) -> list[Picture]:
    def line(label: str, evaluations: Sequence[TurnEvaluation]) -> Series:
        accuracies = [[e.value for e in each.curves.accuracy] for each in evaluations]
        return over_seeds(label, list(range(1, TURNS + 1)), accuracies)

    pictures = []
    for name in runs.VARIANTS:
        lines = [line(arm, [one["final"][arm] for one in found]) for arm in ("base", "boost")]
        lines += [line(f"round {n}", each) for n, each in enumerate(_by_round(found, name), start=1)]
        pictures.append(
            Picture(
                name.capitalize(),
                curve(lines, title="Accuracy turn after turn", unit="held-out questions", x_label="turn"),
                "Each attempt sees the last one and no truth. A curve that rises is a model that corrects itself.",
            )
        )
    arms = [arm for arm in ARMS if arm != "base"]
    pictures.append(
        Picture(
            "Is it the turns?",
            curve(
                [line(arm, [one["final"][arm] for one in found]) for arm in arms],
                title="Accuracy turn after turn",
                unit="held-out questions, last round",
                x_label="turn",
            ),
            "The last round of both variants beside the controls, all from the same boosted model.",
        )
    )
    bar = {
        label: [t_mean([one["final"][arm].named[name].value for one in found]) for arm in arms]
        for label, name in (("one answer", ONE), (f"{TURNS} parallel", PARALLEL), (f"{TURNS} turns", SEQUENCE))
    }
    pictures.append(
        Picture(
            "At equal compute",
            bars(arms, bar, title="One answer, and majorities of five", percent=True),
            f"{TURNS} parallel answers cost as much as {TURNS} turns.",
        )
    )
    return pictures


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
