"""Answers of a policy to prompts, as text."""

from __future__ import annotations

from collections.abc import Sequence

from hone.core.feedback import Text
from hone.engines.base import Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.models.chat import Renderer
from hone.models.policy import Policy


class Writer:
    """A policy that answers prompts.

    Args:
        policy: whose weights stay as they are.
        sampling: how answers are drawn. Of a prompt that leaves no room for ``max_tokens`` the beginning is cut.
    """

    def __init__(self, policy: Policy, sampling: Sampling) -> None:
        self.sampling, self.engine, self.renderer = sampling, EmbeddedEngine.of(policy), Renderer(policy.tokenizer)
        self.room = max(policy.max_length - sampling.max_tokens, 1)

    def answer(self, prompts: Sequence[Text], keys: Sequence[int]) -> list[str]:
        """One answer to each prompt, its noise drawn by its key (:mod:`hone.core.seeding`)."""
        requests = []
        for i, (prompt, noise) in enumerate(zip(prompts, keys, strict=True)):
            context = self.renderer.opening(prompt) if isinstance(prompt, str) else self.renderer.opening("", prompt)
            requests.append(Request(i, tuple(context[-self.room :]), self.sampling, noise))
        return [self.renderer.decode(done.tokens) for done in self.engine.generate(requests)]
