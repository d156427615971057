"""The rounds loop: collect → data set → fit, and again with the policy that came out of it.

A kind of rounds is one file of this package (or ``package.module:Name``): a frozen dataclass that extends
:class:`Rounds`. Its fields are its options, the keys of ``[rounds]``. Its method ``stages`` lists what a round does:

    @dataclass(frozen=True)
    class Cloning(Rounds):
        '''Imitate the best of several own answers.

        Attributes:
            answers: to each question.
            fit: how the kept answers are learnt.
        '''

        answers: int = 4
        fit: Any = field(default_factory=lambda: INNER["fit"].read({}, "[fit]"))
        inner: ClassVar = {"fit": Inner(SftRecipe, fit_recipe_from, OWNED)}

        def stages(self, at: Round) -> list[Stage]:
            return [Stage("collect", lambda out: self._collect(at, out)), Stage("fit", lambda out: self._fit(at, out))]

A stage makes its files in the folder it is given, ``OUT/round-N/NAME``, and returns what it measured. It is called
until it has returned once; called again, it must go on with what a killed process left there, to the same bits. Two
functions do that: :func:`hone.training.stages.fit_stage` (and its siblings) for anything that is a run, and
:func:`hone.training.collecting.in_parts` for rows. So all randomness is keyed: :meth:`Round.seed`.

Fields named in ``inner`` are recipes of inner runs. In the user's recipe they are tables of their own beside
``[rounds]``: ``[fit]``, ``[reward]``, ``[online]``. What the round sets itself (where data, weights and results are)
the user may not: ``Inner.owned`` names it, and :func:`hone.training.inner.replaced` sets it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from hone.core.config import plain
from hone.core.errors import HoneError
from hone.core.files import disk_errors, read_json_lines, write_json
from hone.core.records import Record
from hone.core.seeding import key
from hone.models.config import ModelConfig
from hone.training.collecting import ROWS
from hone.training.inner import Inner
from hone.training.recipe import PACKAGES
from hone.training.run import Run

Measures = Mapping[str, float]
MEASURES = "measures.json"
"""A stage that has said what it measured is finished."""


class WaitingError(HoneError):
    """A stage cannot go on before somebody has done something; ``--resume`` goes on then. Exit code 3."""

    exit_code = 3


@dataclass(frozen=True)
class Stage:
    """A part of a round.

    Attributes:
        name: of its folder.
        run: ``run(folder)`` does the work, or goes on with it, and returns what it measured.
    """

    name: str
    run: Callable[[Path], Measures]


@dataclass(frozen=True)
class Rounds:
    """What every kind of rounds has.

    Attributes:
        rounds: how many.
        keep: which data a round learns from: of all rounds so far, or of the last alone.
        start: the model that a round's fit begins from: the one the last round ended with, or the first of all.
    """

    rounds: int = 3
    keep: Literal["all", "last"] = "all"
    start: Literal["last", "first"] = "last"

    inner: ClassVar[Mapping[str, Inner]] = {}
    result: ClassVar[str] = "fit"
    """The stage whose run has the model that a round ends with."""

    def __post_init__(self) -> None:
        """Refuse a number that means nothing."""
        if self.rounds < 1:
            raise ValueError(f"rounds.rounds is {self.rounds}; it must be at least 1")

    def check(self, recipe: RoundsRecipe) -> None:
        """Find out before the first round what would fail in it.

        Raises:
            HoneError: something would.
        """

    def stages(self, at: Round) -> Sequence[Stage]:
        """What a round does, in order."""
        raise NotImplementedError

    def conclude(self, at: Round) -> str:
        """Write what is to be said of all rounds so far into ``evals/``, after each; returns a sentence, or ""."""
        return ""


@dataclass(frozen=True)
class RoundsRun:
    """Where the rounds go.

    Attributes:
        out: the run directory.
        seed: the root of every random number.
    """

    out: str = "runs/rounds"
    seed: int = 0


@dataclass(frozen=True)
class RoundsRecipe:
    """Rounds: collect, fit, repeat.

    Attributes:
        model: the policy before the first round.
        task: a :class:`hone.envs.base.Task`, chosen by name.
        rounds: a kind of :class:`Rounds`, chosen by name.
        run: the run directory.
    """

    model: ModelConfig
    task: Any
    rounds: Any
    run: RoundsRun = field(default_factory=RoundsRun)

    def plain(self) -> dict[str, Any]:
        """Everything as tables, the inner recipes beside ``[rounds]``."""
        tables = plain(self, PACKAGES)
        for name, inner in self.rounds.inner.items():
            if name in tables["rounds"]:
                tables[name] = inner.plain(tables["rounds"].pop(name))
        return dict(tables)


@dataclass(frozen=True)
class Round:
    """A round, seen from inside.

    Attributes:
        recipe: of all rounds.
        number: from 1.
    """

    recipe: RoundsRecipe
    number: int

    @property
    def out(self) -> Path:
        """The run directory of all rounds."""
        return Path(self.recipe.run.out)

    @property
    def name(self) -> str:
        """What the policies of these rounds are called: the run directory's name."""
        return self.out.resolve().name or "run"

    @property
    def folder(self) -> Path:
        """The folder of this round."""
        return self.out / f"round-{self.number}"

    @property
    def rounds(self) -> list[Round]:
        """All rounds so far, this one last."""
        return [Round(self.recipe, number) for number in range(1, self.number + 1)]

    @property
    def kept(self) -> list[Round]:
        """The rounds whose data this one learns from: all so far, or itself alone."""
        return self.rounds if self.recipe.rounds.keep == "all" else [self]

    def collected(self, stage: str) -> list[Record]:
        """What a collecting stage has collected in this round."""
        return read_json_lines(self.folder / stage / ROWS)

    def rows(self, stage: str) -> list[Record]:
        """What a collecting stage has collected in the rounds whose data this one learns from."""
        return [row for each in self.kept for row in each.collected(stage)]

    @property
    def result(self) -> ModelConfig:
        """The policy that this round ends with."""
        return self._model(self.folder / self.recipe.rounds.result / "model")

    @property
    def policy(self) -> ModelConfig:
        """The policy that this round finds."""
        return Round(self.recipe, self.number - 1).result if self.number > 1 else self.recipe.model

    @property
    def start(self) -> ModelConfig:
        """The model that this round's fit begins from."""
        return self.policy if self.recipe.rounds.start == "last" else self.recipe.model

    def seed(self, *parts: int | str) -> int:
        """The seed of something in this round, below 2**31."""
        return key(self.recipe.run.seed, "round", self.number, *parts) % 2**31

    def measures(self, stage: str) -> dict[str, float]:
        """What a finished stage of this round measured."""
        found: dict[str, float] = json.loads((self.folder / stage / MEASURES).read_text())
        return found

    def _model(self, path: Path) -> ModelConfig:
        """A model of these rounds: loaded like the first, but a directory has no revision."""
        return dataclasses.replace(self.recipe.model, path=str(path), revision=None)


def train_rounds(recipe: RoundsRecipe, *, resume: bool = False) -> Run:
    """Do all rounds and publish the last one's model; returns the finished run.

    Each round is a line of metrics.jsonl: what its stages measured, as ``stage/name``, and their seconds.

    Args:
        recipe: what to do; it is written to config.toml.
        resume: go on where an earlier call was stopped.

    Raises:
        HoneError: a stage found a fault, or the run cannot be begun or resumed.
        WaitingError: people have to answer first.
    """
    kind, run, config = recipe.rounds, Run(Path(recipe.run.out)), recipe.plain()
    run.check(config, resume=resume)
    kind.check(recipe)
    run.begin(config, resume=resume)
    if resume:
        run.rewind(len(run.metrics))
    for number in range(1, kind.rounds + 1):
        found = _round(Round(recipe, number))
        if number > len(run.metrics):
            if told := kind.conclude(Round(recipe, number)):
                print(told, file=sys.stderr)
            run.log(number, found)
    run.publish(lambda folder: _copy(Round(recipe, kind.rounds).result.path, folder))
    return run


def _round(at: Round) -> dict[str, float]:
    """Do what is left of a round; what all its stages measured."""
    measures: dict[str, float] = {}
    seconds = 0.0
    for stage in at.recipe.rounds.stages(at):
        folder = at.folder / stage.name
        if not (folder / MEASURES).exists():
            print(f"round {at.number} of {at.recipe.rounds.rounds}: {stage.name}", file=sys.stderr, flush=True)
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            began = time.perf_counter()
            found = dict(stage.run(folder))
            write_json(folder / MEASURES, {**found, "seconds": time.perf_counter() - began})
        found = at.measures(stage.name)
        seconds += found.pop("seconds")
        measures |= {f"{stage.name}/{name}": value for name, value in found.items()}
    return {**measures, "seconds_step": seconds}


def _copy(model: str, folder: Path) -> None:
    shutil.copytree(model, folder, dirs_exist_ok=True)
