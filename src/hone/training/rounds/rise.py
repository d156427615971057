"""RISE, recursive introspection (arXiv:2407.18219): learn to answer better after one's own attempts.

A round plays dialogues with the policy as it is, asks an improver for a better answer at every place it came to, and
imitates these answers by how good they are. With one turn it is STaR or expert iteration.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from hone.core.config import named
from hone.core.errors import HoneError
from hone.core.files import write_json_lines
from hone.core.records import Record
from hone.core.seeding import key, permutation_index
from hone.core.types import Failed, Outcome, Trajectory
from hone.data.attempts import Attempt, Dialogue, Visit
from hone.engines.base import Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.envs.tasks.retry import Retry
from hone.evaluate.retries import refuse_overflow
from hone.models.chat import Renderer
from hone.models.policy import load
from hone.rollout.episodes import Start, rollout
from hone.rollout.improvers.base import Checks, Desk, Place, reward_of
from hone.rollout.improvers.best_of import BestOf
from hone.rollout.improvers.nobody import Nobody
from hone.training.attempts import AttemptsConfig, AttemptsRecipe, fit_attempts, load_examples, within
from hone.training.build import attempts_recipe_from
from hone.training.collecting import in_parts
from hone.training.fitting import check_fits
from hone.training.inner import Inner, replaced
from hone.training.rounds.base import Round, Rounds, RoundsRecipe, Stage
from hone.training.stages import stage

FIT = Inner(
    AttemptsRecipe,
    attempts_recipe_from,
    owned={"model": {"path": "-"}, "data.source": "-", "run.out": "-", "run.seed": 0, "run.steps": 1},
    defaults={"run.save_every": 100, "algorithm.name": "rwr"},
)


@dataclass(frozen=True)
class Rise(Rounds):
    """Dialogues, improved answers, weighted imitation.

    Attributes:
        prompts: questions in a round; the next round asks the next ones.
        dialogues: with each of them.
        turns: attempts in a dialogue of the first round; 0 for as many as the task has.
        grow: more attempts in every round than in the one before, up to the task's.
        improver: who answers in the policy's place: ``best_of``, ``solver``, ``model``, ``http``, or ``nobody`` to
            learn the policy's own attempts.
        sampling: how the policy draws.
        passes: over the answers of a round.
        part: questions between two writes to the disk.
        failure_cap: largest share of failed gradings in a part, of the policy's answers and of the improver's alike;
            above it the round ends with the first failure.
        fit: how the answers are learnt.
    """

    prompts: int = 512
    dialogues: int = 1
    turns: int = 0
    grow: int = 0
    improver: Any = field(default_factory=BestOf, metadata=named("hone.rollout.improvers", "improver"))
    sampling: Sampling = field(default_factory=Sampling)
    passes: float = 3.0
    part: int = 256
    failure_cap: float = 0.2
    fit: Any = field(default_factory=lambda: FIT.read({}, "[fit]"))

    inner: ClassVar[Mapping[str, Inner]] = {"fit": FIT}

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing."""
        super().__post_init__()
        if min(self.prompts, self.dialogues, self.part) < 1 or min(self.turns, self.grow) < 0 or self.passes <= 0:
            raise ValueError("prompts, dialogues, part and passes must be positive, turns and grow not negative")
        if not 0 <= self.failure_cap <= 1:
            raise ValueError(f"failure_cap is {self.failure_cap}; it is a share between 0 and 1")
        if self.grow and not self.turns:
            raise ValueError("grow has no effect with turns = 0: give the turns of the first round")
        if self.sampling.truncated:
            raise ValueError("the policy's own answers are drawn without top_k, top_p, min_tokens or greedy decoding")

    def check(self, recipe: RoundsRecipe) -> None:
        """The task is `retry` with turns enough, its rewards work, and what is collected can be fitted.

        Raises:
            HoneError: it is not.
        """
        task = recipe.task
        if not isinstance(task, Retry) or task.critique:
            raise HoneError(
                "RISE plays attempts at questions again and again",
                where="[task]",
                got=type(task).__name__ + (" with critiques" if isinstance(task, Retry) else ""),
                expected='name = "retry"',
            )
        if self.turns > task.turns:
            raise HoneError(
                "more turns than the task has", where="rounds.turns", got=str(self.turns), expected=str(task.turns)
            )
        if isinstance(self.improver, Nobody) and not self.fit.data.own:
            raise HoneError("nobody improves on the policy, and its own attempts are not learnt", do="set fit.data.own")
        self._check_held()
        check_fits(self.fit.algorithm, given=frozenset({"value"}))
        if isinstance(self.improver, Checks):
            self.improver.check(task.of)
        task.preflight()

    def _check_held(self) -> None:
        """Answers that repeat a correct attempt are learnt where they are looked for."""
        improver, data = self.improver, self.fit.data
        held = isinstance(improver, BestOf) and improver.ties == "held" and improver.success >= data.success
        if held and data.after_correct == "drop":
            raise HoneError(
                'ties = "held" has no effect: turns after a correct attempt are not learnt',
                where="rounds.improver.ties",
                do='set fit.data.after_correct = "keep", or ties = "first"',
            )

    def stages(self, at: Round) -> Sequence[Stage]:
        """Collect, fit."""
        return [Stage("collect", lambda out: self._collect(at, out)), Stage("fit", lambda out: self._fit(at, out))]

    @property
    def _asked(self) -> slice:
        """The turns of a dialogue at which the improver is asked: those whose improved answers are learnt."""
        return slice(-1, None) if self.fit.data.improved == "last" else slice(None)

    def turns_of(self, at: Round) -> int:
        """Attempts in a dialogue of a round."""
        most = int(at.recipe.task.turns)
        return min(self.turns + self.grow * (at.number - 1), most) if self.turns else most

    def _collect(self, at: Round, out: Path) -> Mapping[str, float]:
        policy = load(at.policy)
        task = replace(at.recipe.task, turns=self.turns_of(at))
        engine, renderer = EmbeddedEngine.of(policy), Renderer(policy.tokenizer)
        engine.sync(0)
        first = (at.number - 1) * self.prompts
        size = task.size("train")
        asked = [permutation_index(at.recipe.run.seed, first + i, size) for i in range(self.prompts)]

        def make(begin: int, part: Sequence[int]) -> list[Record]:
            starts = [
                Start(episode, begin + i, sample) for i, episode in enumerate(part) for sample in range(self.dialogues)
            ]
            played = rollout(
                engine,
                task,
                renderer,
                starts,
                self.sampling,
                noise=(at.seed("collect"),),
                max_length=policy.max_length,
            )
            refuse_overflow(played)
            self._check_failures(at, "the policy's", [t.outcome for each in played for t in each.turns])
            return self._improved(at, task, played, Desk(engine, renderer, self.sampling, task.of))

        rows = in_parts(out, asked, make, size=self.part, title="dialogues")
        graded, failed = (sum(row.get(name, 0) for row in rows) for name in ("graded_improved", "failed_improved"))
        return _measures([Dialogue.of(row) for row in rows], self._asked) | {"failed_improved": failed / max(graded, 1)}

    def _improved(self, at: Round, task: Retry, played: Sequence[Trajectory], desk: Desk) -> list[Record]:
        """The dialogues of trajectories, with the improver's answer at every place, and how many were graded."""
        visits = [_visits(task, trajectory) for trajectory in played]
        places = [
            _places(task, trajectory, own, at.seed("improve"))[self._asked]
            for trajectory, own in zip(played, visits, strict=True)
        ]
        given = iter(self.improver.improve([place for there in places for place in there], desk))
        self._check_failures(at, "the improver's", [outcome for _, outcome in desk.graded])
        graded = Counter(place.noise for place, _ in desk.graded)
        failed = Counter(place.noise for place, outcome in desk.graded if isinstance(outcome, Failed))
        return [
            Dialogue(
                trajectory.episode,
                at.number,
                (*own[: len(own) - len(there)], *(replace(v, improved=next(given)) for v in own[self._asked])),
            ).plain()
            | {
                "graded_improved": sum(graded[place.noise] for place in there),
                "failed_improved": sum(failed[place.noise] for place in there),
            }
            for trajectory, own, there in zip(played, visits, places, strict=True)
        ]

    def _check_failures(self, at: Round, whose: str, outcomes: Sequence[Outcome | None]) -> None:
        """Law 8: too many failures end the round, before its part is written."""
        graded = [outcome for outcome in outcomes if outcome is not None]
        failures = [outcome for outcome in graded if isinstance(outcome, Failed)]
        if len(failures) > self.failure_cap * len(graded):
            raise HoneError(
                f"too many gradings of {whose} answers failed",
                where=f"round {at.number}",
                got=f"{len(failures) / len(graded):.0%} of {len(graded)}; the first: "
                f"{failures[0].kind}: {failures[0].reason}",
                expected=f"at most {self.failure_cap:.0%} (rounds.failure_cap)",
            )

    def _fit(self, at: Round, out: Path) -> Mapping[str, float]:
        data = out / "dialogues.jsonl"
        if not data.exists():
            write_json_lines(data, at.rows("collect"))
        config: AttemptsConfig = replace(self.fit.data, source=str(data))
        found, rows = load_examples(config)
        fitting = within(found, load(at.start).max_length)
        steps = max(math.ceil(self.passes * len(fitting) / self.fit.rows), 1)
        settings = {
            "model": at.start,
            "data": config,
            "run.out": str(out),
            "run.seed": at.seed("fit"),
            "run.steps": steps,
        }
        recipe = replaced(self.fit, settings)
        run = stage(str(out), steps, lambda _, resume: fit_attempts(recipe, resume=resume))
        return {
            "loss": run.metrics[-1]["loss"],
            "answers": len(rows),
            "prompts": len(fitting),
            "too_long": len(found) - len(fitting),
            "steps": steps,
        }


def _visits(task: Retry, trajectory: Trajectory) -> list[Visit]:
    """The turns of an episode that have an answer, with the whole context of each."""
    found: list[Visit] = []
    context: tuple[int, ...] = ()
    for turn in trajectory.turns:
        context = turn.observation if turn.restart else (*context, *turn.observation)
        if turn.action.tokens:
            found.append(Visit(context, Attempt(turn.text, turn.action.tokens, reward_of(turn.outcome))))
        context = (*context, *turn.action.tokens)
    return found


def _places(task: Retry, trajectory: Trajectory, visits: Sequence[Visit], seed: int) -> list[Place]:
    """Where the policy was in an episode, turn after turn."""
    question = task.of.questions("train")[trajectory.episode]
    told = [task.said(question, getattr(turn.outcome, "feedback", "")) for turn in trajectory.turns]
    found = []
    for number, visit in enumerate(visits):
        first = max(number - task.window + 1, 0) if task.window else 0
        found.append(
            Place(
                trajectory.episode,
                question,
                visit.context,
                tuple(before.own for before in visits[first:number]),
                tuple(told[first:number]),
                key(seed, trajectory.group, trajectory.sample, number),
            )
        )
    return found


def _measures(dialogues: Sequence[Dialogue], asked: slice) -> dict[str, float]:
    """Mean reward of the policy and of the improver by turn, and how often nobody graded or answered."""
    measures: dict[str, float] = {"dialogues": len(dialogues)}
    visits = [visit for dialogue in dialogues for visit in dialogue.visits]
    for turn in range(max((len(dialogue.visits) for dialogue in dialogues), default=0)):
        there = [dialogue.visits[turn] for dialogue in dialogues if turn < len(dialogue.visits)]
        own = [visit.own.reward for visit in there if visit.own.reward is not None]
        better = [v.improved.reward for v in there if v.improved is not None and v.improved.reward is not None]
        if own:
            measures[f"reward_{turn + 1}"] = sum(own) / len(own)
        if better:
            measures[f"improved_{turn + 1}"] = sum(better) / len(better)
    measures["failed"] = sum(visit.own.reward is None for visit in visits) / max(len(visits), 1)
    places = [visit for dialogue in dialogues for visit in dialogue.visits[asked]]
    measures["unanswered"] = sum(visit.improved is None for visit in places) / max(len(places), 1)
    return measures
