"""What a run of the benchmark has to share out: a folder for models and rollouts, how much time, how many threads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import cores
from benchmarks.speed.models import make_lengths, make_model, make_prompts, write_questions


@dataclass(frozen=True)
class Plan:
    """One run of the benchmark.

    Attributes:
        folder: temporary; holds what all workers read.
        quick: smaller work and fewer rounds.
        threads: of every process, where a section does not say otherwise.
    """

    folder: Path
    quick: bool = False
    threads: int = 1

    @property
    def cores(self) -> int:
        """Cores of this machine that may be used."""
        return cores()

    def model(self, size: str, vocabulary: int = 2048) -> tuple[str, dict[str, Any]]:
        """Folder of a model, and facts about it."""
        folder = self.folder / f"{size}-{vocabulary}"
        return str(folder), make_model(folder, size, vocabulary)

    def questions(self, prompts: list[list[int]]) -> str:
        """A file of these prompts."""
        path = self.folder / f"questions-{len(prompts)}-{sum(map(len, prompts))}.jsonl"
        write_questions(path, prompts)
        return str(path)

    def rollouts(self, name: str, prompts: int, samples: int, widths: tuple[int, int], mean: int, most: int) -> str:
        """A file of given rollouts with rewards that differ within every group."""
        path = self.folder / f"rollouts-{name}.json"
        contexts = make_prompts(prompts, *widths)
        lengths = make_lengths(prompts * samples, mean, most)
        answers = make_prompts(prompts * samples, most, most, seed=1)
        rows = [
            {
                "group": i // samples,
                "sample": i % samples,
                "prompt": contexts[i // samples],
                "completion": answers[i][:length],
                "reward": (i * 7 % 11) / 11,
            }
            for i, length in enumerate(lengths)
        ]
        path.write_text(json.dumps(rows))
        return str(path)
