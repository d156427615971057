"""A teacher from another model directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hone.core.errors import HoneError
from hone.core.seeding import key
from hone.data.attempts import Attempt
from hone.engines.base import Engine, Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.models.chat import Renderer
from hone.models.config import ModelConfig
from hone.models.policy import Policy, load
from hone.rollout.improvers.base import Desk, Place


@dataclass(frozen=True)
class Model:
    """One answer of another model at every place.

    A teacher with the policy's vocabulary is given the very ids the policy was given; another one with a chat template
    the conversation; another one without, the context as text. What it answers is encoded for the policy.

    Attributes:
        model: the teacher.
        sampling: how it draws; the defaults are RISE's of its teacher.
    """

    model: ModelConfig
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_tokens=512))

    def improve(self, places: Sequence[Place], desk: Desk) -> list[Attempt | None]:
        """The teacher's answer at every place; None where it is empty or the place is too long for its context.

        Raises:
            HoneError: it answered nothing anywhere.
        """
        policy, engine, renderer = self._loaded
        same = policy.tokenizer.get_vocab() == desk.renderer.tokenizer.get_vocab()
        requests = []
        for number, place in enumerate(places):
            context = place.context if same else tuple(_context(place, renderer, desk.renderer))
            if len(context) < policy.max_length:
                requests.append(Request(number, context, self.sampling, key(place.noise, "teacher")))
        texts: list[str | None] = [None] * len(places)
        for request, done in zip(requests, engine.generate(requests), strict=True):
            texts[int(str(request.id))] = renderer.decode(done.tokens)
        if places and not any(text and text.strip() for text in texts):
            raise HoneError("the teacher answered nothing", where=self.model.path, got=f"{len(places)} places")
        return desk.written(places, texts, "teacher")

    @cached_property
    def _loaded(self) -> tuple[Policy, Engine, Renderer]:
        policy = load(self.model)
        engine = EmbeddedEngine.of(policy)
        engine.sync(0)
        return policy, engine, Renderer(policy.tokenizer)


def _context(place: Place, teacher: Renderer, policy: Renderer) -> list[int]:
    """A place for a teacher with another vocabulary."""
    return teacher.opening("", place.messages()) if teacher.chat else teacher.opening(policy.decode(place.context))
