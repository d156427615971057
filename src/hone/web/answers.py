"""Where the answers that people judge come from: a file, the rollouts of a run, or models asked just now."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hone.core.config import plain
from hone.core.errors import HoneError
from hone.core.feedback import Answer, Demonstration, Text, canonical
from hone.core.files import append_json_line, disk_errors, read_json_lines
from hone.core.records import read_records
from hone.core.seeding import generator, key
from hone.data.feedback.entries import digest, parts
from hone.data.feedback.layouts import row_labels
from hone.data.feedback.questions import MOST_RANKED, Group

if TYPE_CHECKING:
    from hone.engines.base import Sampling


def groups_from_file(source: str) -> list[Group]:
    """Prompts with answers from a file of any layout of feedback (what was said of them is not used), or of rows with
    ``prompt`` and ``answers``: texts, or ``{"text", "model", "checkpoint"}``.

    Raises:
        HoneError: not readable, or a row without a prompt or with an empty answer (named by its number).
    """
    groups = []
    for number, row in enumerate(read_records(source), start=1):
        try:
            if "answers" in row and "kind" not in row:
                if not isinstance(row["answers"], list | tuple):
                    raise HoneError("answers is no list", got=repr(row["answers"])[:80], do="write a list of texts")
                groups.append(Group(_prompt(row), tuple(_answer(a) for a in row["answers"])))
            elif set(row) & {"chosen", "completion", "completions", "kind"}:
                for label in row_labels(row):
                    skip = 1 if isinstance(label, Demonstration) and "kind" in row else 0
                    groups.append(Group(label.prompt, tuple(answer for answer, _ in parts(label)[skip:])))
            else:
                groups.append(Group(_prompt(row), ()))
        except HoneError as error:
            raise HoneError(error.what, where=f"{source}, record {number}", got=error.got, do=error.do) from error
    return groups


def groups_from_run(run: Path, seed: int = 0, name: str = "") -> list[Group]:
    """The sampled rollouts of a run: for every prompt a few answers, from different steps where there are some.

    The model is called ``name`` (the directory's if none is given) and the checkpoint ``step-N``.

    Raises:
        HoneError: no run, or none of its rollouts was recorded.
    """
    from hone.report.run_files import read_run

    read = read_run(run)
    found: dict[str, dict[int, list[Answer]]] = {}
    for step, episodes in read.rollouts.items():
        for episode in episodes:
            # Of several turns the first is judged: later ones answer observations that are not the prompt.
            text = episode.turns[0].text if episode.turns else ""
            if text.strip():
                steps = found.setdefault(episode.prompt, {})
                steps.setdefault(step, []).append(Answer(text, name or read.name, f"step-{step}"))
    if not found:
        raise HoneError("this run has no recorded rollouts", where=str(run), do="train with run.record_every above 0")
    return [Group(prompt, tuple(_spread(steps, seed, prompt))) for prompt, steps in found.items()]


@dataclass(frozen=True)
class Generation:
    """Answers to be made by models.

    Attributes:
        models: model directories (or hub names); a checkpoint is ``RUN/checkpoints/step-N``.
        prompts: a file with a column ``prompt``.
        samples: answers of each model to each prompt.
        out: JSON lines of answers; those already in it are not made again, unless the model's files or how it is
            asked have changed since.
        seed: of the sampling noise.
        sampling: how answers are drawn; up to 256 tokens if not given.
    """

    models: Sequence[str]
    prompts: str
    out: Path
    samples: int = 1
    seed: int = 0
    sampling: Sampling | None = field(default=None)


def generate(wanted: Generation) -> list[Group]:
    """Ask every model every prompt, with a progress bar; each answer is written down as soon as it is there.

    Raises:
        HoneError: no model or prompts there, or a prompt too long for a model.
    """
    from hone.core.progress import Progress
    from hone.engines.base import Request, Sampling
    from hone.engines.embedded import EmbeddedEngine
    from hone.models.chat import Renderer
    from hone.models.policy import load

    prompts = [_prompt(row) for row in read_records(wanted.prompts)]
    names = model_names(wanted.models)
    sampling = wanted.sampling or Sampling(max_tokens=256)
    made = {path: digest(_state(path), plain(sampling)) for path in wanted.models}
    rows = _rows(wanted.out)
    have = {(row["source"], row["made"], canonical(row["prompt"]), row["sample"], row["seed"]) for row in rows}
    for path in wanted.models:
        todo = [
            (prompt, sample)
            for prompt in prompts
            for sample in range(wanted.samples)
            if (path, made[path], canonical(prompt), sample, wanted.seed) not in have
        ]
        if not todo:
            continue
        policy = load(path)
        engine, renderer = EmbeddedEngine.of(policy, slots=16), Renderer(policy.tokenizer)
        model, checkpoint = names[path]
        with Progress(f"asking {model}", len(todo)) as bar:
            for start in range(0, len(todo), 16):
                requests = [
                    Request(
                        i,
                        tuple(renderer.opening(p) if isinstance(p, str) else renderer.opening("", p)),
                        sampling,
                        key(wanted.seed, path, canonical(p), sample),
                    )
                    for i, (p, sample) in enumerate(todo[start : start + 16])
                ]
                for (p, sample), done in zip(todo[start : start + 16], engine.generate(requests), strict=True):
                    text = renderer.decode(done.tokens)
                    row: dict[str, Any] = {"prompt": p if isinstance(p, str) else list(p), "text": text, "model": model}
                    row |= {"checkpoint": checkpoint, "source": path, "made": made[path]}
                    row |= {"sample": sample, "seed": wanted.seed}
                    append_json_line(wanted.out, row)
                    rows.append(row)
                    bar.advance()
    asked = {canonical(prompt) for prompt in prompts}
    return [
        Group(row["prompt"], (Answer(row["text"], row["model"], row["checkpoint"]),) if row["text"].strip() else ())
        for row in rows
        if canonical(row["prompt"]) in asked and made.get(row["source"]) == row["made"] and row["seed"] == wanted.seed
        if row["sample"] < wanted.samples
    ]


def _rows(path: Path) -> list[dict[str, Any]]:
    """The answers in a file of ours; a last line that was cut as the power failed is taken away.

    Raises:
        HoneError: the file holds something else: it is not written to.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.read_bytes() if path.exists() else b""
        kept = whole[: whole.rfind(b"\n") + 1]
        if kept != whole:
            os.truncate(path, len(kept))
    rows = read_json_lines(path)
    ours = {"prompt", "text", "model", "checkpoint", "source", "sample", "seed"}
    if len(rows) < kept.count(b"\n") or not all(isinstance(row, dict) and ours <= row.keys() for row in rows):
        raise HoneError("this file holds no answers that models made", where=str(path), do="name another with --save")
    return [{"made": "", **row} for row in rows]  # without it: of a time when it was not written down, and made again


def _state(path: str) -> list[tuple[str, int, int]]:
    """Name, size and time of a model's files: others where it was trained further. Of a hub id nothing is known."""
    from hone.models.reading import locate

    folder = locate(path)
    files = sorted(file for file in folder.iterdir() if file.is_file()) if folder else []
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def model_names(paths: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Model and checkpoint for each path; where two would be called alike, the whole path is the name."""
    short = {path: names_of(path) for path in paths}
    taken = list(short.values())
    return {path: names if taken.count(names) == 1 else (path, "") for path, names in short.items()}


def names_of(path: str) -> tuple[str, str]:
    """Model and checkpoint as an arena calls them: of ``runs/a/checkpoints/step-10`` a and step-10."""
    folder = Path(path)
    pieces = [p for p in folder.parts if p not in ("model", "/", "..", ".")]
    if "checkpoints" in pieces[1:]:
        at = pieces.index("checkpoints", 1)
        return pieces[at - 1], "/".join(pieces[at + 1 :])
    return (pieces[-1] if pieces else path), ""


def _prompt(row: dict[str, Any]) -> Text:
    prompt = row.get("prompt")
    if isinstance(prompt, str) or (isinstance(prompt, list) and prompt):
        return prompt
    raise HoneError('a row has no column "prompt"', got=f"columns: {', '.join(row) or json.dumps(row)}")


def _answer(value: Any) -> Answer:
    if isinstance(value, dict) and "text" in value:
        return Answer(value["text"], str(value.get("model") or ""), str(value.get("checkpoint") or ""))
    return Answer(value)


def _spread(steps: dict[int, list[Answer]], seed: int, prompt: str) -> list[Answer]:
    """One answer of each step, then a second of each, until there are enough."""
    shuffled = []
    for step, answers in steps.items():
        order = generator(seed, "rollouts", prompt, step).permutation(len(answers))
        shuffled.append([answers[i] for i in order])
    pick = generator(seed, "rollout steps", prompt).permutation(len(shuffled))
    longest = max(len(answers) for answers in shuffled)
    dealt = [shuffled[i][depth] for depth in range(longest) for i in pick if depth < len(shuffled[i])]
    return dealt[:MOST_RANKED]
