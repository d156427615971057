"""Answers of several policies to the same prompts, and what a judge or people say of them."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Ranking, Text, author, canonical
from hone.core.files import read_json_lines, write_json_lines
from hone.core.records import Record
from hone.core.seeding import key
from hone.data.feedback.entries import Entry, digest, from_record, parts, to_record
from hone.data.feedback.questions import Asking as PageAsking
from hone.data.feedback.questions import Group, Question, Questions
from hone.engines.base import Sampling
from hone.envs.base import Task
from hone.envs.judges.base import Judge
from hone.evaluate.arena import Rating, make_arena, meetings
from hone.evaluate.estimates import share
from hone.models.config import ModelConfig
from hone.models.policy import load
from hone.rollout.writing import Writer
from hone.training.collecting import ROWS, in_parts
from hone.training.rounds.base import Round, WaitingError

if TYPE_CHECKING:
    from hone.data.feedback.store import FeedbackStore
    from hone.data.feedback.verdicts import Verdict

ANSWERS = "answers.jsonl"
"""The answers of a stage as ``hone ui --answers`` reads them: a prompt a line."""
_AT_ONCE = 128
"""Answers, or verdicts, of one part."""


@dataclass(frozen=True)
class Player:
    """A policy that answers.

    Attributes:
        name: its checkpoint's name, ``round-2``.
        model: what is loaded.
        answers: to each prompt.
    """

    name: str
    model: ModelConfig
    answers: int


def write_answers(
    out: Path, task: Task, split: str, episodes: Sequence[int], players: Sequence[Player], sampling: Sampling, seed: int
) -> list[Record]:
    """Every player's answers to the prompts of some episodes, in parts.

    Returns:
        Rows with ``episode``, ``prompt``, ``text``, ``player`` and what the task itself measures of the answer.
    """
    items = [(p, episode, s) for p in players for s in range(p.answers) for episode in episodes]

    @functools.lru_cache(maxsize=1)
    def writer(player: Player) -> Writer:
        return Writer(load(player.model), sampling)

    def make(first: int, part: Sequence[tuple[Player, int, int]]) -> list[Record]:
        rows: list[Record] = []
        for player in dict.fromkeys(item[0] for item in part):
            mine = [(episode, sample) for other, episode, sample in part if other is player]
            prompts = [prompt_of(task, split, episode) for episode, _ in mine]
            noise = [key(seed, "answer", player.name, episode, sample) for episode, sample in mine]
            texts = writer(player).answer(prompts, noise)
            for (episode, _), prompt, text in zip(mine, prompts, texts, strict=True):
                shown = prompt if isinstance(prompt, str) else [dict(message) for message in prompt]
                row = {"episode": episode, "prompt": shown, "text": text, "player": player.name}
                rows.append({**row, "metrics": _metrics(task, split, episode, text)})
        return rows

    return in_parts(out, items, make, size=_AT_ONCE, title=f"answers of {len(players)} policies")


def describe(rows: Sequence[Record], player: str) -> dict[str, float]:
    """What a player's answers are like: how many, the share of distinct and of empty ones, the task's own measures."""
    mine = [row for row in rows if row["player"] == player]
    found = {
        "answers": float(len(mine)),
        "distinct": len({row["text"] for row in mine}) / max(len(mine), 1),
        "empty": sum(not row["text"].strip() for row in mine) / max(len(mine), 1),
    }
    for name in dict.fromkeys(name for row in mine for name in row["metrics"]):
        values = [row["metrics"][name] for row in mine if name in row["metrics"]]
        found[name] = sum(values) / len(values)
    return found


@dataclass(frozen=True)
class Asking:
    """Who compares, and how much.

    Attributes:
        judge: None asks people.
        pairs: comparisons of one prompt at most; pairs of different policies come first.
        db: the feedback database, to which every verdict goes.
        turn: of the judge's opinion.
    """

    judge: Judge | None
    pairs: int
    db: str
    turn: int

    def compare(self, out: Path, answers: Path, groups: Sequence[Group]) -> list[Entry]:
        """A verdict on every question that a stage's answers make.

        Args:
            out: gets ``rows.jsonl``: what was said, as it stood when the last question was answered.
            answers: the folder of the stage whose answers they are.
            groups: its answers by prompt.

        Raises:
            WaitingError: people have not answered every question yet.
        """
        questions = Questions(groups, PageAsking(self.pairs))
        from hone.data.feedback.store import FeedbackStore

        store = FeedbackStore(self.db)
        try:
            if self.judge is not None:
                found = self._ask_judge(out, self.judge, questions)
                store.add_many(from_record(row) for row in found)
            elif not (out / ROWS).exists():
                write_json_lines(out / ROWS, map(to_record, self._ask_people(store, questions, answers)))
            return [from_record(row) for row in read_json_lines(out / ROWS)]
        finally:
            store.close()

    def _ask_judge(self, out: Path, judge: Judge, questions: Questions) -> list[Record]:
        name = type(judge).__name__

        def verdict(question: Question) -> Record:
            # Like a person's: half of the time the other way round.
            first, second = (question.answers[i] for i in questions.order(question, name))
            try:
                ahead = judge.prefers_first(question.prompt, str(first.text), str(second.text), self.turn)
            except Exception as error:
                got = f"{type(error).__name__}: {error}"
                raise HoneError("the judge raised", where=name, got=got, do="mend it, then --resume") from error
            chosen, rejected = (first, second) if ahead or ahead is None else (second, first)
            label = Comparison(question.prompt, chosen, rejected, ahead is None, name)
            shown = (0, 1) if chosen is first else (1, 0)
            return to_record(Entry(label, digest("judge", name, question.id), question.id, shown))

        asked = questions.lists["compare"]
        return in_parts(out, asked, lambda _, part: map(verdict, part), size=_AT_ONCE, title=f"{name} compares")

    def _ask_people(self, store: FeedbackStore, questions: Questions, answers: Path) -> list[Entry]:
        answered, asked = store.answered(), questions.lists["compare"]
        ranked = [{canonical(a.text) for a in q.answers} for q in questions.lists["rank"] if q.id in answered]
        missing = sum(
            q.id not in answered and not any({canonical(a.text) for a in q.answers} <= texts for texts in ranked)
            for q in asked
        )
        if missing:
            command = f"hone ui --db {shlex.quote(self.db)} --answers {shlex.quote(str(answers / ANSWERS))}"
            raise WaitingError(
                "waiting for people",
                where=str(answers),
                got=f"{len(asked) - missing} of {len(asked)} comparisons, {missing} are missing",
                do=f"{command} --pairs {self.pairs}   and when all are answered the same command with --resume",
            )
        return [e for e in store.entries() if e.item in questions.by_id and isinstance(e.label, Comparison | Ranking)]


def rate(at: Round, stages: Sequence[str]) -> dict[str, Any]:
    """Every policy so far on one Bradley-Terry scale, from all that was said of two different ones; {} if nothing was.

    Args:
        at: the last round that counts.
        stages: where comparisons are.
    """
    said = _verdicts(from_record(row) for each in at.rounds for stage in stages for row in each.collected(stage))
    standings = {s.name: s for s in make_arena(said).standings}
    policies = [author(at.name, _checkpoint(number)) for number in range(at.number + 1)]
    found = [(number, standings[name]) for number, name in enumerate(policies) if name in standings]
    if len(found) < 2:
        return {}
    (_, first), (_, last) = found[0], found[-1]
    battles, prompts, _ = meetings(said)
    duels = [
        (score if one == last.name else 1 - score, prompt)
        for (one, other, score), prompt in zip(battles, prompts, strict=True)
        if {one, other} == {first.name, last.name}
    ]
    won = share([score for score, _ in duels], [prompt for _, prompt in duels])
    rating = last.bradley_terry
    rounds = "round" if at.number == 1 else "rounds"
    headline = (
        f"After {at.number} {rounds} the policy has gone from {first.bradley_terry.value:.0f} to "
        f"{rating.value:.0f} points"
    )
    if rating.interval is not None:
        headline += " (95 % interval {:.0f} to {:.0f})".format(*rating.interval)
    if duels:
        headline += f"; it wins {100 * won.value:.0f} % of {len(duels)} comparisons with the first one"
    return {
        "headline": headline + ".",
        "standings": [
            {
                "round": number,
                "name": s.name,
                "battles": s.battles,
                "won": s.won,
                "rating": _plain(s.bradley_terry),
            }
            for number, s in found
        ],
        "against_first": won.plain(),
    }


def _plain(rating: Rating) -> dict[str, float | None]:
    """For JSON; without an interval its ends are None."""
    low, high = rating.interval or (None, None)
    return {"value": rating.value, "low": low, "high": high}


def _verdicts(entries: Iterable[Entry]) -> list[Verdict]:
    """What entries say, as the arena rates it."""
    from hone.data.feedback.verdicts import Verdict

    prompts: dict[str, int] = {}
    answers: dict[tuple[int, str, str], int] = {}
    found = []
    for entry in entries:
        prompt = prompts.setdefault(canonical(entry.label.prompt), len(prompts))
        ranked = [
            (answers.setdefault((prompt, answer.author, canonical(answer.text)), len(answers)), answer.authors, rank)
            for answer, rank in parts(entry.label)
            if rank is not None
        ]
        found.append(Verdict(prompt, entry.label.annotator, sorted(ranked)))
    return found


def players(at: Round, split: str, answers: int, snapshots: int) -> list[Player]:
    """Who answers: of training prompts the current policy and its last snapshots, of test prompts every policy so far.

    The newest one is the first.
    """
    newest = at.number - (split == "train")
    earlier = range(newest - 1, -1 if split == "test" else max(newest - 1 - snapshots, -1), -1)
    models = [at.recipe.model, *(each.result for each in at.rounds)]
    counts = {newest: answers if split == "train" else 1, **dict.fromkeys(earlier, 1)}
    return [Player(_checkpoint(number), models[number], count) for number, count in counts.items()]


def _checkpoint(number: int) -> str:
    return f"round-{number}"


def prompt_of(task: Task, split: str, episode: int) -> Text:
    """What an episode asks first."""
    text, info = task.env(split).reset(options={"episode": episode})
    found: Text = info.get("messages") or text
    return found


def _metrics(task: Any, split: str, episode: int, text: str) -> dict[str, float]:
    if not (hasattr(task, "metrics") and hasattr(task, "questions")):
        return {}
    return {name: float(value) for name, value in task.metrics(task.questions(split)[episode], text).items()}


def groups_of(rows: Sequence[Record], name: str) -> list[Group]:
    """The answers to each prompt, those that are empty left out; ``name`` is what the run's policies are called."""
    found: dict[str, tuple[Text, list[Answer]]] = {}
    for row in rows:
        _, answers = found.setdefault(canonical(row["prompt"]), (row["prompt"], []))
        if row["text"].strip():
            answers.append(Answer(row["text"], name, row["player"]))
    return [Group(prompt, tuple(answers)) for prompt, answers in found.values()]


def write_groups(path: Path, groups: Iterable[Group]) -> None:
    """As ``hone ui --answers`` reads them."""
    write_json_lines(
        path,
        (
            {
                "prompt": group.prompt if isinstance(group.prompt, str) else list(group.prompt),
                "answers": [{"text": a.text, "model": a.model, "checkpoint": a.checkpoint} for a in group.answers],
            }
            for group in groups
        ),
    )
