"""Does a model correct itself? Accuracy turn after turn, votes over turns, and what as many parallel answers give.

Names are RISE's (arXiv:2407.18219): ``mN@tK`` is the majority over N samples of runs of K turns. So with k turns
``m1@t1`` is one answer, ``mk@t1`` the majority of k parallel answers, ``m1@tk`` the majority over the turns of one run
(as many generations), and ``p1@tk`` whether any turn of a run is right: what an oracle that stops it would give. It is
``p1@tk``, not ``m1@tk``, that "some turn was right" measures.

The input is attempts, however they were made; nothing here samples. A question is the unit of every interval. Where a
grader reads no answers out of the texts (:class:`hone.core.types.Scored`) there are no votes, and no estimates of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from hone.core.errors import HoneError
from hone.evaluate.estimates import NOTHING, Estimate, bootstrap_mean, maj_at_k, share
from hone.evaluate.votes import Ties, vote


@dataclass(frozen=True)
class Attempt:
    """One graded answer.

    Attributes:
        answer: what the grader read, for votes; "" where nothing.
        correct: it is right.
        tokens: how many were sampled for it.
        log_weight: logarithm of what its vote weighs, where votes are weighted.
    """

    answer: str
    correct: bool
    tokens: int = 0
    log_weight: float = 0.0


@dataclass(frozen=True)
class Run:
    """The attempts at one question, in order, each made in sight of those before it."""

    question: int
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Curves:
    """Estimates per turn: means over questions of the mean over a question's runs.

    Attributes:
        accuracy: [k] attempts that are right.
        vote: [k] majorities over the turns so far that are right: ``m1@t``.
        any: [k] runs in which some turn so far is right: ``p1@t``.
        fixed: [k − 1] runs that went from wrong to right, from each turn to the next.
        broken: [k − 1] from right to wrong; accuracy changes by fixed − broken.
        distinct: [k] different answers among the turns so far (a run that only repeats itself stays at 1).
        tokens: [k] sampled tokens of an attempt.
    """

    accuracy: tuple[Estimate, ...]
    vote: tuple[Estimate, ...]
    any: tuple[Estimate, ...]
    fixed: tuple[Estimate, ...]
    broken: tuple[Estimate, ...]
    distinct: tuple[Estimate, ...]
    tokens: tuple[Estimate, ...]

    def plain(self) -> dict[str, list[dict[str, Any]]]:
        """For JSON."""
        return {f.name: [estimate.plain() for estimate in getattr(self, f.name)] for f in fields(self)}


@dataclass(frozen=True)
class TurnEvaluation:
    """What an evaluation of runs found.

    Attributes:
        turns: k.
        questions: questions with a graded run; ``runs``: graded runs.
        failures: runs and parallel answers that failed; they count nowhere else.
        ties: how ties of votes over turns are broken (parallel answers have no order: by lot).
        curves: per turn.
        parallel: [k] majorities of 1..k parallel first answers, exact over all subsets: ``mN@t1``.
        named: ``m1@t1``, ``mk@t1``, ``m1@tk``, ``p1@tk``; the paired differences ``m1@tk − m1@t1`` (the flattering
            one) and ``m1@tk − mk@t1`` (at equal compute), ``last − first`` turn; ``attempts with oracle``, which a run
            makes that is stopped when right; and where votes are weighted ``w1@tk``, ``wk@t1`` and their difference.
        by_question: the values of ``m1@t1``, ``mk@t1``, ``m1@tk``, ``p1@tk`` and ``last`` for each question, for
            :func:`paired` comparisons between models.
        greedy: per turn, of runs without noise.
    """

    turns: int
    questions: int
    runs: int
    failures: int
    ties: Ties
    curves: Curves
    parallel: tuple[Estimate, ...]
    named: Mapping[str, Estimate]
    by_question: Mapping[str, Mapping[int, float]] = field(repr=False, default_factory=dict)
    greedy: Curves | None = None

    def plain(self) -> dict[str, Any]:
        """Nested plain values for JSON (the file ``evals/NAME.json`` of a run); NaN becomes None."""
        return {
            "turns": self.turns,
            "questions": self.questions,
            "runs": self.runs,
            "failures": self.failures,
            "ties": self.ties,
            "named": {name: estimate.plain() for name, estimate in self.named.items()},
            "curves": self.curves.plain(),
            "parallel": [estimate.plain() for estimate in self.parallel],
            "greedy": self.greedy.plain() if self.greedy else None,
            "by_question": {name: {str(q): v for q, v in values.items()} for name, values in self.by_question.items()},
        }


def evaluate_turns(
    runs: Sequence[Run],
    parallel: Mapping[int, Sequence[Attempt]],
    *,
    ties: Ties = "latest",
    failures: int = 0,
    greedy: Sequence[Run] = (),
    weighted: bool = False,
) -> TurnEvaluation:
    """Judge runs of k turns each.

    Args:
        runs: graded runs, all of the same number of turns.
        parallel: independent first answers by question, those of the runs among them or not; a question takes part in
            majorities of n where it has at least n.
        ties: how ties of votes over turns are broken.
        failures: how many runs and answers failed and are left out.
        greedy: runs without noise, one per question.
        weighted: also let votes count by their weights; of the parallel answers the first k vote.

    Raises:
        HoneError: no run, or runs of different lengths.
    """
    lengths = sorted({len(run.attempts) for run in (*runs, *greedy)})
    if not runs or len(lengths) != 1:
        got = f"runs of {', '.join(map(str, lengths))} turns" if runs else "no graded run"
        raise HoneError("runs of one length can be evaluated", got=got, expected="k attempts in every run")
    (k,) = lengths
    questions = [run.question for run in runs]
    voting = runs if _votes(runs) else []
    values = {
        "m1@t1": _per_question(runs, lambda run: float(run.attempts[0].correct)),
        f"m1@t{k}": _per_question(voting, lambda run: vote(_answers(run.attempts), _grades(run.attempts), ties)),
        f"p1@t{k}": _per_question(runs, lambda run: float(any(_grades(run.attempts)))),
        "last": _per_question(runs, lambda run: float(run.attempts[-1].correct)),
    }
    votes = [_parallel_votes(parallel if voting else {}, n) for n in range(1, k + 1)]
    values[f"m{k}@t1"] = votes[-1]
    curves = curves_of(runs, ties)
    named = {
        "m1@t1": curves.accuracy[0],
        f"m{k}@t1": _mean_vote(parallel, votes[-1]),
        f"m1@t{k}": curves.vote[-1],
        f"p1@t{k}": curves.any[-1],
        f"m1@t{k} − m1@t1": paired(values[f"m1@t{k}"], values["m1@t1"]),
        f"m1@t{k} − m{k}@t1": paired(values[f"m1@t{k}"], values[f"m{k}@t1"]),
        "last − first": paired(values["last"], values["m1@t1"]),
        "attempts with oracle": _mean_of(_per_question(runs, lambda run: float(_attempts_with_oracle(run))), "oracle"),
    }
    if weighted and voting:
        values |= _weighted(runs, parallel, k, ties)
        over, beside = values[f"w1@t{k}"], values[f"w{k}@t1"]
        named |= {f"w1@t{k}": _of_questions(over), f"w{k}@t1": _of_questions(beside)}
        named[f"w1@t{k} − w{k}@t1"] = paired(over, beside)
    return TurnEvaluation(
        turns=k,
        questions=len(set(questions)),
        runs=len(runs),
        failures=failures,
        ties=ties,
        curves=curves,
        parallel=tuple(_mean_vote(parallel, found) for found in votes),
        named=named,
        by_question=values,
        greedy=curves_of(greedy, ties) if greedy else None,
    )


def curves_of(runs: Sequence[Run], ties: Ties = "latest") -> Curves:
    """Estimates per turn of runs of one length."""
    questions = [run.question for run in runs]
    turns = range(len(runs[0].attempts))
    grades = [_grades(run.attempts) for run in runs]
    answers = [_answers(run.attempts) for run in runs]
    pairs = list(zip(answers, grades, strict=True)) if _votes(runs) else []

    def mean(values: Sequence[float], *key: str | int) -> Estimate:
        return _mean_of(_by_question(questions, values), *key) if values else NOTHING

    def shares(values: Sequence[float]) -> Estimate:
        found = _by_question(questions, values) if values else {}
        return share(list(found.values()), at_most=len(values)) if found else NOTHING

    return Curves(
        accuracy=tuple(shares([float(g[t]) for g in grades]) for t in turns),
        vote=tuple(shares([vote(a[: t + 1], g[: t + 1], ties) for a, g in pairs]) for t in turns),
        any=tuple(shares([float(any(g[: t + 1])) for g in grades]) for t in turns),
        fixed=tuple(shares([float(not g[t - 1] and g[t]) for g in grades]) for t in turns[1:]),
        broken=tuple(shares([float(g[t - 1] and not g[t]) for g in grades]) for t in turns[1:]),
        distinct=tuple(mean([float(len({*a[: t + 1]} - {""})) for a, _ in pairs], "distinct", t) for t in turns),
        tokens=tuple(mean([float(run.attempts[t].tokens) for run in runs], "tokens", t) for t in turns),
    )


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Estimate:
    """Mean of ``first − second`` over the questions that both have, with a bootstrap over questions.

    Args:
        first: value by question, of one model or measure.
        second: of the other, on the same questions.
    """
    both = [question for question in first if question in second]
    return bootstrap_mean([first[q] - second[q] for q in both], both, ("turns", "paired"))


def _answers(attempts: Sequence[Attempt]) -> list[str]:
    return [attempt.answer for attempt in attempts]


def _grades(attempts: Sequence[Attempt]) -> list[bool]:
    return [attempt.correct for attempt in attempts]


def _votes(runs: Sequence[Run]) -> bool:
    """Can there be votes? Not where the grader calls answers right and reads none."""
    attempts = [attempt for run in runs for attempt in run.attempts]
    return any(a.answer for a in attempts) or not any(a.correct for a in attempts)


def _attempts_with_oracle(run: Run) -> int:
    grades = _grades(run.attempts)
    return grades.index(True) + 1 if True in grades else len(grades)


def _per_question(runs: Sequence[Run], measure: Callable[[Run], float]) -> dict[int, float]:
    return _by_question([run.question for run in runs], [measure(run) for run in runs])


def _by_question(questions: Sequence[int], values: Sequence[float]) -> dict[int, float]:
    """The mean value of each question: questions count alike, however many of their runs failed."""
    found: dict[int, list[float]] = {}
    for question, value in zip(questions, values, strict=True):
        found.setdefault(question, []).append(value)
    return {question: math.fsum(own) / len(own) for question, own in found.items()}


def _mean_of(values: Mapping[int, float], *key: str | int) -> Estimate:
    return bootstrap_mean(list(values.values()), list(values), ("turns", *key))


def _parallel_votes(parallel: Mapping[int, Sequence[Attempt]], n: int) -> dict[int, float]:
    return {q: maj_at_k(_answers(found), _grades(found), n) for q, found in parallel.items() if len(found) >= n}


def _mean_vote(parallel: Mapping[int, Sequence[Attempt]], votes: Mapping[int, float]) -> Estimate:
    return share(list(votes.values()), at_most=sum(len(parallel[q]) for q in votes)) if votes else NOTHING


def _of_questions(values: Mapping[int, float]) -> Estimate:
    return share(list(values.values()))


def _weighted(
    runs: Sequence[Run], parallel: Mapping[int, Sequence[Attempt]], k: int, ties: Ties
) -> dict[str, dict[int, float]]:
    def judged(attempts: Sequence[Attempt], ties: Ties) -> float:
        top = max((a.log_weight for a in attempts if a.answer), default=0.0)  # the heaviest vote of this vote weighs 1
        weights = [math.exp(a.log_weight - top) if a.answer else 0.0 for a in attempts]
        return vote(_answers(attempts), _grades(attempts), ties, weights)

    return {
        f"w1@t{k}": _per_question(runs, lambda run: judged(run.attempts, ties)),
        f"w{k}@t1": {q: judged(found[:k], "lot") for q, found in parallel.items() if len(found) >= k},
    }
