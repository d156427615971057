"""Sampled rollouts for a page: grouped by question, every token with the credit it was given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hone.report.run_files import RolloutLine, TurnLine
from hone.report.style import number

STEPS, GROUPS, SAMPLES = 3, 3, 8
"""How many steps of a run, groups of a step and samples of a group are shown."""
HEAD, TAIL = 300, 100
"""Of a long completion the first and the last tokens are shown: the answer stands at the end."""


@dataclass(frozen=True)
class Token:
    """A sampled token as a reader sees it.

    Attributes:
        text: of the token, with its line breaks made visible.
        credit: advantage relative to the largest of the step, in [−1, 1]; 0 where there is none.
        hint: shown under the pointer.
    """

    text: str
    credit: float
    hint: str


@dataclass(frozen=True)
class ShownTurn:
    """One turn: ``skipped`` tokens are left out between ``head`` and ``tail``."""

    number: int
    observation: str
    head: Sequence[Token]
    skipped: int
    tail: Sequence[Token]
    text: str
    stop: str
    length: int
    reward: str
    criteria: Mapping[str, str]


@dataclass(frozen=True)
class ShownSample:
    """One episode; numbers are formatted, "" where there is none."""

    sample: int
    reward: str
    failed: str
    advantage: str
    turns: Sequence[ShownTurn]
    metrics: Mapping[str, str]


@dataclass(frozen=True)
class ShownGroup:
    """The samples of one question; ``more`` of them are not shown."""

    episode: int
    prompt: str
    samples: Sequence[ShownSample]
    more: int
    zero_signal: bool


@dataclass(frozen=True)
class ShownStep:
    """Some groups of one step; ``scale`` is the advantage of the strongest colour."""

    step: int
    scale: str
    groups: Sequence[ShownGroup]
    more: int


def shown(rollouts: Mapping[int, Sequence[RolloutLine]]) -> list[ShownStep]:
    """The first, middle and last step with rollouts; of each, groups whose rewards differ come first."""
    steps = sorted(step for step, episodes in rollouts.items() if episodes)
    picked = sorted({steps[round(i * (len(steps) - 1) / (STEPS - 1))] for i in range(STEPS)}) if steps else []
    return [_step(step, rollouts[step]) for step in picked]


def _step(step: int, episodes: Sequence[RolloutLine]) -> ShownStep:
    groups: dict[int, list[RolloutLine]] = {}
    for episode in episodes:
        groups.setdefault(episode.group, []).append(episode)
    ordered = sorted(groups.values(), key=_zero_signal)
    sizes = [abs(a) for e in episodes for turn in e.turns for a in turn.advantages if math.isfinite(a)]
    scale = max(sizes, default=0.0)
    return ShownStep(step, number(scale), [_group(g, scale) for g in ordered[:GROUPS]], len(ordered[GROUPS:]))


def _group(episodes: Sequence[RolloutLine], scale: float) -> ShownGroup:
    ordered = sorted(episodes, key=lambda e: e.sample)
    samples = [_sample(e, scale) for e in ordered[:SAMPLES]]
    return ShownGroup(
        ordered[0].episode, ordered[0].prompt, samples, len(ordered) - len(samples), _zero_signal(ordered)
    )


def _zero_signal(episodes: Sequence[RolloutLine]) -> bool:
    """No two graded rewards differ."""
    return len({e.reward for e in episodes if e.failed is None}) < 2


def _sample(episode: RolloutLine, scale: float) -> ShownSample:
    advantages = [a for turn in episode.turns for a in turn.advantages if math.isfinite(a)]
    mean = _signed(math.fsum(advantages) / len(advantages)) if advantages else ""
    turns = [_turn(i, turn, scale, alone=len(episode.turns) == 1) for i, turn in enumerate(episode.turns)]
    metrics = {name: number(value) for name, value in episode.metrics.items() if math.isfinite(value)}
    return ShownSample(episode.sample, _reward(episode.reward), episode.failed or "", mean, turns, metrics)


def _turn(index: int, turn: TurnLine, scale: float, alone: bool) -> ShownTurn:
    tokens = _tokens(turn, scale)
    skipped = max(len(tokens) - HEAD - TAIL, 0)
    observation = ""
    if index > 0:
        observation = turn.observation_text or f"({len(turn.observation)} tokens of observation)"
    return ShownTurn(
        number=index + 1,
        observation=observation,
        head=tokens[:HEAD] if skipped else tokens,
        skipped=skipped,
        tail=tokens[-TAIL:] if skipped else [],
        text=turn.text,
        stop=turn.stop,
        length=len(turn.tokens),
        reward="" if alone else _reward(turn.reward),
        criteria={name: _reward(value) for name, value in turn.criteria.items()},
    )


def _tokens(turn: TurnLine, scale: float) -> list[Token]:
    """The tokens with their credit; a list that is too short in the file has nothing to say on the rest."""
    shown_tokens = []
    for i, piece in enumerate(turn.pieces):
        hint = []
        if i < len(turn.tokens):
            hint.append(f"id {turn.tokens[i]}")
        if i < len(turn.logprobs) and math.isfinite(p := turn.logprobs[i]):
            hint.append(f"probability {number(math.exp(min(p, 0.0)))}")
        credit = 0.0
        if i < len(turn.advantages) and math.isfinite(a := turn.advantages[i]):
            hint.append(f"advantage {_signed(a)}")
            credit = a / scale if scale else 0.0
        text = piece.replace("\n", "↵\n") if piece else "∅"
        shown_tokens.append(Token(text, credit, ", ".join(hint)))
    return shown_tokens


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)


def _reward(value: float) -> str:
    return "" if math.isnan(value) else number(value)
