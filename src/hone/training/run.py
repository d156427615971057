"""A run on disk: its configuration, metrics, rollouts, checkpoints and journal.

A checkpoint is a directory that appears whole or not at all and is taken with nothing in flight. It holds the
weights, the optimiser's moments, the algorithm's state and the step; everything else (data order, sampling noise) is
a function of the seed and the step, so this is all there is to resume.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from hone.core.config import flatten, read_toml
from hone.core.errors import HoneError
from hone.core.files import append_json_line, new_directory, read_json_lines, write_json, write_json_lines, write_text
from hone.core.types import Failed, Outcome, Scored


@dataclass(frozen=True)
class Run:
    """A run directory (config.toml, metrics.jsonl, rollouts/, evals/, checkpoints/, model/, report.html)."""

    path: Path

    @property
    def model(self) -> Path:
        """The final weights in Hugging Face layout."""
        return self.path / "model"

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One dictionary per logged step."""
        return read_json_lines(self.path / "metrics.jsonl")

    @property
    def exists(self) -> bool:
        """A run has begun here."""
        return (self.path / "config.toml").exists()

    @property
    def config(self) -> dict[str, Any]:
        """The resolved recipe."""
        return read_toml(self.path / "config.toml")

    def begin(self, config: Mapping[str, Any], *, resume: bool, data: str = "") -> None:
        """Write config.toml of a new run, or go on with the one that is there.

        Args:
            config: the resolved recipe.
            resume: go on.
            data: a digest of what is learnt from, where that is known beforehand.

        Raises:
            HoneError: as :meth:`check`, or the data to resume on is not the data the run began with.
        """
        self.check(config, resume=resume)
        stamp = self.path / "data.digest"
        if not resume:
            write_text(stamp, data)
            write_text(self.path / "config.toml", tomli_w.dumps(dict(config)))
        elif stamp.exists() and stamp.read_text() != data:
            raise HoneError(
                "the data has changed since this run began, so it cannot be resumed exactly",
                where=str(self.path),
                do="put the old data back, or start a new run in another folder",
            )

    def check(self, config: Mapping[str, Any], *, resume: bool) -> None:
        """Make sure that this run can begin, or be resumed with the same recipe; nothing is written.

        Raises:
            HoneError: a new run over an existing one; resuming nothing, a finished run, or with a changed recipe.
        """
        written = self.path / "config.toml"
        if not resume:
            if written.exists():
                raise HoneError(
                    "there is a run in this folder already",
                    where=str(self.path),
                    do="choose another folder (--run.out, --out), or add --resume to go on with it",
                )
            return
        if not written.exists():
            raise HoneError("there is no run to resume", where=str(self.path), expected="a folder with config.toml")
        before, now = dict(flatten(self.config)), dict(flatten(json.loads(json.dumps(config))))
        changed = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
        if changed:
            first = changed[0]
            raise HoneError(
                "the recipe has changed since this run began, so it cannot be resumed exactly",
                where=f"{first} (and {len(changed) - 1} more)" if len(changed) > 1 else first,
                got=repr(now.get(first)),
                expected=repr(before.get(first)),
                do="resume with the old recipe, or start a new run in another folder",
            )
        if self.model.exists():
            raise HoneError("this run is finished: resuming it would do nothing", where=str(self.path))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line to metrics.jsonl."""
        append_json_line(self.path / "metrics.jsonl", {"step": step, **metrics})

    def write_rollouts(self, step: int, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write rollouts/step-N.jsonl."""
        write_json_lines(self.path / "rollouts" / f"step-{step:06d}.jsonl", lines)

    def write_evaluation(self, name: str, result: Mapping[str, Any]) -> None:
        """Write evals/NAME.json."""
        write_json(self.path / "evals" / f"{name}.json", result)

    # --- journal: outcomes that may depend on a clock, kept since the last checkpoint -------------------------------

    def journal(self, step: int, outcomes: Mapping[tuple[int, int, int], Outcome]) -> None:
        """Record a step's outcomes before they are learnt from, so that a resumed run sees the same ones."""
        rows = [[*at, *_outcome_fields(outcome)] for at, outcome in outcomes.items()]
        append_json_line(self.path / "journal.jsonl", {"step": step, "outcomes": rows})

    def recorded(self, step: int) -> dict[tuple[int, int, int], Outcome]:
        """The journalled outcomes of a step, by (group, sample, turn); {} where there are none."""
        found: dict[tuple[int, int, int], Outcome] = {}
        for line in read_json_lines(self.path / "journal.jsonl"):
            if line["step"] == step:
                for group, sample, turn, kind, *fields in line["outcomes"]:
                    found[group, sample, turn] = Scored(*fields) if kind == "scored" else Failed(*fields)
        return found

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Complete checkpoints, oldest first, with their steps."""
        found = [(int(p.name.split("-")[1]), p) for p in (self.path / "checkpoints").glob("step-*")]
        return sorted(found)

    def new_checkpoint(self, step: int) -> AbstractContextManager[Path]:
        """Context manager: a folder to fill; it becomes ``checkpoints/step-N`` when whole."""
        return new_directory(self.path / "checkpoints" / f"step-{step}")

    def prune(self, keep: int | None) -> None:
        """Delete all checkpoints but the latest and ``keep`` (the best), and the journal, which they outdate."""
        for step, path in self.checkpoints()[:-1]:
            if step != keep:
                shutil.rmtree(path, ignore_errors=True)
        (self.path / "journal.jsonl").unlink(missing_ok=True)

    def rewind(self, step: int) -> None:
        """Forget what was logged after ``step``: those steps are about to be made again."""
        self._rewrite("metrics.jsonl", [row for row in self.metrics if row["step"] <= step])
        self._rewrite("journal.jsonl", read_json_lines(self.path / "journal.jsonl"))
        for path in (self.path / "rollouts").glob("step-*.jsonl"):
            if int(path.stem.split("-")[1]) > step:
                path.unlink()

    def _rewrite(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace a file of JSON lines, if there is one; a line that a crash has cut is gone then."""
        if (self.path / name).exists():
            write_json_lines(self.path / name, rows)

    def publish(self, save: Callable[[Path], None]) -> None:
        """Write the final ``model/`` through ``save(folder)``, atomically."""
        with new_directory(self.model) as folder:
            save(folder)


def _outcome_fields(outcome: Outcome) -> list[Any]:
    if isinstance(outcome, Failed):
        return ["failed", outcome.reason, outcome.kind]
    return ["scored", outcome.value, dict(outcome.criteria), outcome.answer, outcome.feedback]
