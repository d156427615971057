"""A kind of rounds whose stages take a moment each: sample answers in parts, keep the good ones, learn them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hone.core.files import write_json_lines
from hone.core.seeding import key
from hone.engines.base import Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.models.chat import Renderer
from hone.models.policy import load
from hone.training.build import fit_recipe_from
from hone.training.collecting import in_parts
from hone.training.fit import SftRecipe
from hone.training.inner import Inner, replaced
from hone.training.rounds.base import Measures, Round, Rounds, Stage
from hone.training.stages import fit_stage

FIT = Inner(
    SftRecipe,
    fit_recipe_from,
    owned={"model": {"path": "-"}, "data.source": "-", "data.task": None, "run.out": "-", "run.seed": 0},
    defaults={"run.steps": 6, "run.save_every": 2, "optimiser.lr": 1e-3},
)


@dataclass(frozen=True)
class Cloning(Rounds):
    """Imitate your own answers.

    Attributes:
        answers: sampled in a round.
        size: of a part.
        fit: how the answers are learnt.
    """

    answers: int = 32
    size: int = 4
    fit: Any = field(default_factory=lambda: FIT.read({}, "[fit]"))

    inner: ClassVar = {"fit": FIT}

    def stages(self, at: Round) -> Sequence[Stage]:
        return [Stage("collect", lambda out: self._collect(at, out)), Stage("fit", lambda out: self._fit(at, out))]

    def _collect(self, at: Round, out: Path) -> Measures:
        policy = load(at.policy)
        engine, renderer = EmbeddedEngine.of(policy), Renderer(policy.tokenizer)

        def make(first: int, part: Sequence[str]) -> list[dict[str, Any]]:
            requests = [
                Request(i, tuple(renderer.opening(letter)), Sampling(max_tokens=4), key(at.seed(), first + i))
                for i, letter in enumerate(part)
            ]
            texts = [renderer.decode(done.tokens) for done in engine.generate(requests)]
            return [{"prompt": p, "completion": text} for p, text in zip(part, texts, strict=True) if text]

        rows = in_parts(out, ["abcd"[i % 4] for i in range(self.answers)], make, size=self.size, title="answers")
        return {"answers": len(rows)}

    def _fit(self, at: Round, out: Path) -> Measures:
        data, rows = out / "data.jsonl", at.rows("collect")
        write_json_lines(data, rows)
        settings = {"model": at.start, "data.source": str(data), "run.out": str(out), "run.seed": at.seed("fit")}
        run = fit_stage(replaced(self.fit, settings))
        return {"loss": run.metrics[-1]["loss"], "rows": len(rows)}
