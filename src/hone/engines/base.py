"""The engine protocol: tokens in, tokens and log-probabilities out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hone.core.types import Completion


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn.

    Attributes:
        temperature: logits are divided by it; 0 is greedy (log-probabilities are then at temperature 1).
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the smallest set of likeliest tokens whose probability reaches p; 1 keeps all.
        min_tokens: the end token cannot be drawn before this many tokens.
        max_tokens: a completion of this many tokens stops with reason "length".
        stop: texts that end a completion once its decoded tokens contain one; their tokens are kept.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_tokens: int = 0
    max_tokens: int = 64
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}; it must be 0 (greedy) or positive")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must be in (0, 1]")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}; it must be 0 (all tokens) or positive")
        if self.max_tokens < 1 or not 0 <= self.min_tokens <= self.max_tokens:
            raise ValueError(
                f"min_tokens is {self.min_tokens} and max_tokens {self.max_tokens}; "
                "expected 0 ≤ min_tokens ≤ max_tokens"
            )

    @property
    def truncated(self) -> bool:
        """The distribution sampled from is not the learner's: refused in training unless asked for."""
        return self.top_k > 0 or self.top_p < 1 or self.min_tokens > 0 or self.temperature == 0


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to sample.

    Attributes:
        id: handed back with the completion.
        prompt: context ids; equal prompts are prefilled once.
        sampling: how to draw.
        key: 64-bit key of this request's noise; token n uses ``uniforms(key, n)`` (:mod:`hone.core.seeding`).
        more: a later request of the same id may go on from this prompt and its completion: an engine may keep what
            it knows of them. A hint; what is sampled is the same to rounding.
    """

    id: Hashable
    prompt: tuple[int, ...]
    sampling: Sampling
    key: int
    more: bool = False


class Engine(Protocol):
    """Continuous generation: requests go in at any time, finished completions come out."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests."""

    def collect(self) -> list[tuple[Hashable, Completion]]:
        """Run until at least one request has finished; [] iff none is queued or in flight.

        The order of results depends on the requests alone, never on the clock.
        """

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Submit and collect these requests; completions in their order. Nothing else may be in flight."""

    def sync(self, policy_version: int) -> None:
        """The weights have changed: forget every cached prefix; later completions carry this version."""
