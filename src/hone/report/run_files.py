"""Read a run directory as it is: finished, still going on, cut in the middle of a line, or hardly begun."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pydantic

from hone.core.config import flatten, read_toml
from hone.core.errors import HoneError

Number = Annotated[float, pydantic.BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float that JSON may hold as null: NaN."""


@dataclass(frozen=True)
class TurnLine:
    """A turn in ``rollouts/step-N.jsonl``; the lists run over the sampled tokens."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    logprobs: list[Number] = field(default_factory=list)
    advantages: list[Number] = field(default_factory=list)
    observation: list[int] = field(default_factory=list)
    observation_text: str = ""
    stop: str = ""
    reward: Number = math.nan
    criteria: dict[str, Number] = field(default_factory=dict)
    restart: bool = False


@dataclass(frozen=True)
class RolloutLine:
    """An episode in ``rollouts/step-N.jsonl``."""

    step: int
    group: int
    turns: list[TurnLine]
    episode: int = 0
    sample: int = 0
    prompt: str = ""
    reward: Number = math.nan
    failed: str | None = None
    metrics: dict[str, Number] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFiles:
    """What was found.

    Attributes:
        name: of the directory.
        config: text of config.toml, "" where there is none.
        settings: dotted keys of the configuration and their values.
        metrics: name to (steps, values); a value that is not finite is NaN.
        rollouts: step to its episodes.
        evaluations: name to the plain values of evals/NAME.json, in the order in which they were made.
        summary: summary.json.
        finished: the final weights or the summary are there.
        unreadable: lines and files that were there and could not be understood.
    """

    name: str
    config: str
    settings: Mapping[str, Any]
    metrics: Mapping[str, tuple[list[float], list[float]]]
    rollouts: Mapping[int, list[RolloutLine]]
    evaluations: Mapping[str, Mapping[str, Any]]
    summary: Mapping[str, Any]
    finished: bool
    unreadable: int

    @property
    def steps(self) -> int:
        """The last step of which anything is known."""
        return int(max((x[-1] for x, _ in self.metrics.values() if x), default=0))


def read_run(path: Path) -> RunFiles:
    """Everything a report shows of a run.

    Raises:
        HoneError: no such directory, or neither config.toml nor metrics.jsonl is in it.
    """
    if not path.is_dir():
        raise HoneError("there is no such run", where=str(path), expected="a directory that a run has written")
    if not any((path / name).is_file() for name in ("config.toml", "metrics.jsonl")):
        found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "an empty directory"
        raise HoneError("this is not a run", where=str(path), got=found, expected="config.toml or metrics.jsonl in it")
    lines, bad = json_lines(path / "metrics.jsonl")
    rollouts: dict[int, list[RolloutLine]] = {}
    for file in sorted((path / "rollouts").glob("*.jsonl")):
        episodes, unread = _rollouts(file)
        bad += unread
        for episode in episodes:
            rollouts.setdefault(episode.step, []).append(episode)
    evaluations, unread = _documents(sorted((path / "evals").glob("*.json"), key=_age))
    summaries, unread_summary = _documents([p for p in [path / "summary.json"] if p.exists()])
    return RunFiles(
        name=path.resolve().name,
        config=_text(path / "config.toml"),
        settings=_settings(path / "config.toml"),
        metrics=columns(lines),
        rollouts=dict(sorted(rollouts.items())),
        evaluations=evaluations,
        summary=summaries.get("summary", {}),
        finished=bool(summaries) or (path / "model").is_dir(),
        unreadable=bad + unread + unread_summary,
    )


def json_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The JSON objects of a file, one per line, and how many lines were none.

    A last line without its newline is still being written: it is used if whole and ignored if not. Lines end
    at newlines only: other line separators of Unicode may stand inside a string.
    """
    *whole, last = path.read_bytes().split(b"\n") if path.exists() else [b""]
    rows = [_object(line) for line in whole if line.strip()]
    return [row for row in (*rows, _object(last)) if row is not None], rows.count(None)


def columns(lines: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    """Lines of metrics as (steps, values) per name, in ascending steps.

    Where a step was logged twice (around a resume, say) later lines replace earlier ones, name by name. null,
    NaN and infinities become NaN; what is not a number is left out.
    """
    by_step: dict[float, dict[str, float]] = {}
    for index, line in enumerate(lines):
        step = line.get("step", index)
        if not isinstance(step, int | float) or not math.isfinite(step):
            continue
        row = by_step.setdefault(float(step), {})
        for name, value in line.items():
            if name != "step" and (value is None or isinstance(value, int | float)):
                row[name] = float(value) if value is not None and math.isfinite(value) else math.nan
    found: dict[str, tuple[list[float], list[float]]] = {}
    for step in sorted(by_step):
        for name, value in by_step[step].items():
            xs, ys = found.setdefault(name, ([], []))
            xs.append(step)
            ys.append(value)
    return found


_ROLLOUT: pydantic.TypeAdapter[RolloutLine] = pydantic.TypeAdapter(RolloutLine)


def _rollouts(path: Path) -> tuple[list[RolloutLine], int]:
    rows, bad = json_lines(path)
    episodes = []
    for row in rows:
        try:
            episodes.append(_ROLLOUT.validate_python(row))
        except pydantic.ValidationError:
            bad += 1
    return episodes, bad


def _documents(paths: Sequence[Path]) -> tuple[dict[str, Mapping[str, Any]], int]:
    found = {path.stem: _object(path.read_bytes()) for path in paths}
    return {name: value for name, value in found.items() if value is not None}, list(found.values()).count(None)


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _age(path: Path) -> tuple[int, int, str]:
    """Sorting key of evaluations: "before", by the number in the name, other names, "after"."""
    number = re.search(r"\d+", path.stem)
    place = {"before": 0, "base": 0, "after": 3, "final": 3}.get(path.stem, 1 if number else 2)
    return place, int(number[0]) if number else 0, path.stem


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _settings(config: Path) -> dict[str, Any]:
    try:
        return dict(flatten(read_toml(config)))
    except HoneError:
        return {}  # shown as text, whatever it says
