"""Environment × scripted engine → trajectories: contexts, faults, limits, journalled outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from toy import LETTERS, Echo, EchoEnv

from hone.core.types import Failed, Outcome, Scored, Trajectory
from hone.engines.base import Sampling
from hone.engines.scripted import ScriptedEngine
from hone.envs.base import Step, TextEnv
from hone.models.chat import Renderer
from hone.models.tokenizer import char_tokenizer
from hone.rollout.episodes import Start, rollout

TOKENIZER = char_tokenizer([LETTERS + "=#"])
RENDERER = Renderer(TOKENIZER)
END = int(TOKENIZER.eos_token_id)


def ids(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def first_letter(context: str) -> str:
    return context[0]


class Engine(ScriptedEngine):
    """Answers a context, given as text; remembers the contexts."""

    def __init__(self, answer: Callable[[str], str] = first_letter, batch: int = 0) -> None:
        self.contexts: list[str] = []

        def script(request: Any) -> str:
            self.contexts.append(TOKENIZER.decode(list(request.prompt)))
            return answer(self.contexts[-1])

        super().__init__(script, encode=ids, end_id=END, logprob=-0.5, batch=batch)


def play(task: Any, engine: Engine, starts: Sequence[Start], **options: Any) -> list[Trajectory]:
    return rollout(engine, task, RENDERER, starts, Sampling(max_tokens=9), noise=(0, 1), **options)


def value(outcome: Outcome) -> float | str:
    return outcome.value if isinstance(outcome, Scored) else outcome.reason


def test_contexts_grow_by_what_was_sampled_and_what_was_answered() -> None:
    engine = Engine()
    (found,) = play(Echo(turns=3), engine, [Start(2, 0, 0)])
    c = "c=c<eos>"
    assert engine.contexts == ["c=", f"{c}c=", f"{c}{c}c="]
    assert [turn.observation for turn in found.turns] == [ids("c=")] * 3
    assert [turn.action.tokens for turn in found.turns] == [(*ids("c"), END)] * 3
    assert [turn.text for turn in found.turns] == ["c"] * 3
    assert [turn.restart for turn in found.turns] == [False] * 3
    assert (found.reward, found.terminated, found.truncated, found.prompt) == (3.0, True, False, "c=")


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("turns", [1, 2])
def test_the_order_is_that_of_the_starts_however_completions_arrive(batch: int, turns: int) -> None:
    starts = [Start(e, group, sample) for group, e in enumerate([3, 0, 2]) for sample in range(2)]
    found = play(Echo(turns=turns), Engine(batch=batch), starts)
    assert [(t.episode, t.group, t.sample) for t in found] == [(s.episode, s.group, s.sample) for s in starts]
    assert [t.turns[0].text for t in found] == list("ddaacc")
    assert [t.reward for t in found] == [float(turns)] * 6


def test_noise_keys_name_the_request_and_not_its_company() -> None:
    alone, together = Engine(), Engine(batch=2)
    play(Echo(turns=2), alone, [Start(1, 5, 1)])
    play(Echo(turns=2), together, [Start(e, g, s) for e, g, s in [(0, 4, 0), (1, 5, 1), (1, 5, 0), (2, 6, 0)]])
    assert len({r.key for r in together.requests}) == 8
    assert {r.key for r in alone.requests} <= {r.key for r in together.requests}


def test_limits_truncate_and_do_not_terminate() -> None:
    (by_turns,) = play(Echo(turns=9), Engine(), [Start(0, 0, 0)], max_turns=2)
    (by_length,) = play(Echo(turns=9), Engine(), [Start(0, 0, 0)], max_length=10)
    for found in (by_turns, by_length):
        assert (len(found.turns), found.terminated, found.truncated) == (2, False, True)
        assert found.failure is None


def test_a_prompt_beyond_the_context_fails_and_leaves_no_tokens() -> None:
    engine = Engine()
    found = play(Echo(), engine, [Start(0, 0, 0)], max_length=2)
    assert engine.requests == []
    assert found[0].failure == Failed("the prompt has 2 tokens, the context only 2", "context")
    assert found[0].turns[0].observation == ()
    assert found[0].prompt == "a="


@dataclass(frozen=True)
class Moody(Echo):
    """Echo in which one environment raises: on reset, or at its second step."""

    when: str = "step"

    def env(self, split: str) -> TextEnv:
        return MoodyEnv(self.turns, self.when)


class MoodyEnv(EchoEnv):
    def __init__(self, turns: int, when: str) -> None:
        super().__init__(turns, False)
        self.when = when

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        first = super().reset(seed=seed, options=options)
        if self.letter == "b" and self.when == "reset":
            raise OSError("no more b")
        return first

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        result = super().step(action)
        if self.letter == "b" and self.turn == 2:
            raise OSError("tired of b")
        return result


@pytest.mark.parametrize("batch", [0, 1])
def test_an_environment_that_raises_fails_alone(batch: int) -> None:
    starts = [Start(e, e, 0) for e in range(4)]
    found = play(Moody(turns=3), Engine(batch=batch), starts)
    assert [len(t.turns) for t in found] == [3, 2, 3, 3]
    assert [t.failure is None for t in found] == [True, False, True, True]
    assert [t.reward for t in found if t.failure is None] == [3.0] * 3
    assert found[1].turns[1].outcome == Failed("the environment raised OSError('tired of b')", "exception")
    found = play(Moody(turns=3, when="reset"), Engine(batch=batch), starts)
    assert [value(t.turns[-1].outcome) for t in found] == [1.0, "reset raised OSError: no more b", 1.0, 1.0]


def test_a_task_that_raises_for_many_fails_them_all() -> None:
    class Broken(Echo):
        def step_many(self, envs: Sequence[TextEnv], actions: Sequence[str]) -> list[Step]:
            raise KeyError("grader")

    found = play(Broken(), Engine(), [Start(e, e, 0) for e in range(3)])
    assert [value(t.turns[0].outcome) for t in found] == ["the environment raised KeyError('grader')"] * 3


def test_a_failed_outcome_ends_its_episode() -> None:
    (found,) = play(Echo(turns=3, fails=True), Engine(lambda context: "#"), [Start(0, 0, 0)])
    assert [value(t.outcome) for t in found.turns] == ["the grader dislikes #"]


def test_recorded_outcomes_stand_in_for_what_the_environment_says_now() -> None:
    recorded: dict[tuple[int, int, int], Outcome] = {(0, 1, 1): Scored(0.25), (0, 0, 0): Failed("slow", "timeout")}
    found = play(Echo(turns=2), Engine(), [Start(0, 0, 0), Start(0, 0, 1)], recorded=recorded)
    assert [[value(t.outcome) for t in f.turns] for f in found] == [["slow"], [1.0, 0.25]]
