"""Contexts that do not extend the last one: windows over past attempts, and what does not fit a context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from toy import LETTERS

from hone.core.types import Failed, Outcome, Scored, Trajectory
from hone.engines.base import Request, Sampling
from hone.engines.scripted import ScriptedEngine
from hone.envs.graders.base import Columns, Grader, Prompt
from hone.envs.questions import Question, QuestionTask
from hone.envs.tasks.retry import Retry
from hone.models.chat import Renderer
from hone.models.tokenizer import char_tokenizer
from hone.rollout.episodes import Start, rollout
from hone.rollout.rows import to_batch

TOKENIZER = char_tokenizer([LETTERS + "=#!?"])
RENDERER = Renderer(TOKENIZER)
END = int(TOKENIZER.eos_token_id)
TEMPLATE = "{% for m in messages %}{{ m['role'][0] }}={{ m['content'] }}.{% endfor %}a="


@dataclass(frozen=True)
class Same:
    """Right is what was asked."""

    floor: float = 0.0

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        pairs = zip(completions, columns["answer"], strict=True)
        return [Scored(float(a == b), answer=a, feedback="" if a == b else f"#{a}") for a, b in pairs]


@dataclass(frozen=True)
class Letter(QuestionTask):
    """``a=`` is answered by ``a``."""

    @property
    def grader(self) -> Grader:
        return Same()

    def build(self, split: str) -> Sequence[Question]:
        return [Question(f"{letter}=", letter) for letter in LETTERS]


def ids(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER(text, add_special_tokens=False)["input_ids"])


class Engine(ScriptedEngine):
    """The n-th answer of a list, whatever is asked; remembers contexts as text."""

    def __init__(self, answers: Sequence[str]) -> None:
        self.contexts: list[str] = []

        def script(request: Request) -> str:
            self.contexts.append(TOKENIZER.decode(list(request.prompt)))
            return answers[len(self.contexts) - 1]

        super().__init__(script, encode=ids, end_id=END, logprob=-0.5)


def play(task: Any, answers: Sequence[str], **options: Any) -> tuple[Engine, Trajectory]:
    engine = Engine(answers)
    renderer = options.pop("renderer", RENDERER)
    sampling = Sampling(max_tokens=3)
    (found,) = rollout(engine, task, renderer, [Start(0, 0, 0)], sampling, noise=(0, 1), **options)
    return engine, found


def retry(**options: Any) -> Retry:
    return Retry(Letter(), **{"turns": 4, "retry": "!", "separator": "", **options})


E = "<eos>"


@pytest.mark.parametrize(
    ("window", "contexts", "restarts"),
    [
        (0, ["a=", f"a=b{E}!", f"a=b{E}!c{E}!", f"a=b{E}!c{E}!d{E}!"], [False] * 4),
        (9, ["a=", f"a=b{E}!", f"a=b{E}!c{E}!", f"a=b{E}!c{E}!d{E}!"], [False] * 4),
        (3, ["a=", f"a=b{E}!", f"a=b{E}!c{E}!", f"a=c{E}!d{E}!"], [False, False, False, True]),
        (2, ["a=", f"a=b{E}!", f"a=c{E}!", f"a=d{E}!"], [False, False, True, True]),
        (1, ["a="] * 4, [False, True, True, True]),
    ],
)
def test_a_window_keeps_the_question_and_the_last_attempts(
    window: int, contexts: list[str], restarts: list[bool]
) -> None:
    engine, found = play(retry(window=window), list("bcda"))
    assert engine.contexts == contexts
    assert [turn.restart for turn in found.turns] == restarts
    assert [turn.text for turn in found.turns] == list("bcda")
    for request, turn in zip(engine.requests, found.turns, strict=True):
        assert not turn.restart or turn.observation == request.prompt


def test_a_restarted_episode_is_several_rows_of_what_was_sampled() -> None:
    _, found = play(retry(window=2, turns=3), list("bca"))
    batch = to_batch([found], 0)
    rows = [row[mask].tolist() for row, mask in zip(batch.tokens, batch.mask, strict=True)]
    assert rows == [[*ids("a=b"), END, *ids("!c"), END], [*ids("a=c"), END, *ids("!a"), END]]
    assert batch.train.int().tolist() == [[0, 0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 1, 1]]
    assert batch.reward.tolist() == [[0.0] * 7, [0, 0, 0, 0, 0, 0, 1.0]]
    assert batch.turn.tolist() == [[0, 0, 0, 0, 1, 1, 1], [2] * 7]
    assert (batch.episode.tolist(), batch.step.tolist(), batch.group.tolist()) == ([0, 0], [0, 1], [0, 0])


def test_ids_in_a_window_are_those_that_were_sampled_not_those_of_their_text() -> None:
    """The unknown letter has an id of its own that its text would not give back."""
    odd = int(TOKENIZER.unk_token_id)
    engine = ScriptedEngine(lambda request: [odd, odd, END], end_id=END)
    starts = [Start(0, 0, 0)]
    rollout(engine, retry(window=2), RENDERER, starts, Sampling(max_tokens=3), noise=(0, 1))
    assert [request.prompt for request in engine.requests[1:]] == [(*ids("a="), odd, odd, END, *ids("!"))] * 3
    assert RENDERER.decode([odd]) == ""


def test_a_chat_template_writes_the_turns_of_a_window() -> None:
    tokenizer = char_tokenizer([LETTERS + "=#!?u."])
    tokenizer.chat_template = TEMPLATE
    engine = ScriptedEngine(
        lambda request: "bcda"[len(engine.requests) - 1],
        encode=lambda text: tokenizer(text, add_special_tokens=False)["input_ids"],
        end_id=END,
    )
    task = retry(window=2, separator="###")
    rollout(engine, task, Renderer(tokenizer), [Start(0, 0, 0)], Sampling(max_tokens=3), noise=(0, 1))
    contexts = [tokenizer.decode(list(request.prompt)) for request in engine.requests]
    assert contexts == ["u=a=.a=", *(f"u=a=.a={said}{E}.u=!.a=" for said in "bcd")]


def test_critiques_stay_with_their_attempts_in_a_window() -> None:
    task = retry(window=2, turns=3, critique="?")
    engine, found = play(task, list("bccdda"[:5]))
    assert engine.contexts == [
        "a=",
        f"a=b{E}?",
        f"a=b{E}?c{E}!",
        f"a=b{E}?c{E}!c{E}?",
        f"a=c{E}?d{E}!",
    ]
    assert [turn.text for turn in task.attempts(found)] == ["b", "c", "d"]
    assert [turn.restart for turn in found.turns] == [False] * 4 + [True]


def test_no_room_for_an_attempt_is_a_failure_that_names_the_question() -> None:
    engine, found = play(retry(), list("bcda"), max_length=8)
    assert engine.contexts == ["a=", f"a=b{E}!"]
    assert [isinstance(turn.outcome, Scored) for turn in found.turns] == [True, True, False]
    told = "the context of turn 3 on episode 0 ('a=') has 8 tokens, the context only 8"
    assert found.failure == Failed(told, "context")
    assert not to_batch([found], 0).train.any()
    _, whole = play(retry(), list("bcda"), max_length=12)
    assert (whole.failure, len(whole.turns)) == (None, 4)


def test_the_oldest_attempts_go_where_the_recipe_says_so() -> None:
    engine, found = play(retry(overflow="shorten"), list("bcda"), max_length=8)
    assert engine.contexts == ["a=", f"a=b{E}!", f"a=c{E}!", f"a=d{E}!"]
    assert [turn.restart for turn in found.turns] == [False, False, True, True]
    assert (found.failure, found.truncated, found.terminated) == (None, False, True)
    engine, _ = play(retry(overflow="shorten"), list("bcda"), max_length=6)
    assert engine.contexts == ["a="] * 4, "a window of one"
    _, found = play(retry(overflow="shorten"), list("bcda"), max_length=2)
    assert found.failure == Failed("the prompt has 2 tokens, the context only 2", "context")


def test_a_resumed_episode_hears_what_was_journalled() -> None:
    task = retry(feedback="{feedback}", turns=3)
    before, _ = play(task, list("bca"))
    assert before.contexts == ["a=", f"a=b{E}#b", f"a=b{E}#bc{E}#c"]
    recorded: dict[tuple[int, int, int], Outcome] = {(0, 0, 0): Scored(0.5, feedback="?#"), (0, 1, 1): Scored(9.0)}
    after, found = play(task, list("bca"), recorded=recorded)
    assert after.contexts == ["a=", f"a=b{E}?#", f"a=b{E}?#c{E}#c"]
    assert found.reward == 0.5 + 0.0 + 1.0
