"""A retry task evaluated end to end: planted attempts through a scripted engine, graded, voted, counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from policies import tiny

from hone.core.errors import HoneError
from hone.core.types import Failed, Outcome, Scored
from hone.engines.base import Request, Sampling
from hone.engines.scripted import ScriptedEngine
from hone.envs.graders.base import Columns, Grader, Prompt
from hone.envs.questions import Question, QuestionTask
from hone.envs.tasks.retry import Retry
from hone.evaluate.model import EvalConfig
from hone.evaluate.retries import evaluate_retries
from hone.evaluate.turns import TurnEvaluation
from hone.evaluate.votes import VoteConfig

POLICY = tiny()
END = POLICY.tokenizer.eos_token_id


@dataclass(frozen=True)
class Same:
    """Right is the reference; 9 breaks the grader."""

    floor: float = 0.0

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        pairs = zip(completions, columns["answer"], strict=True)
        return [Failed("a nine", "exception") if a == "9" else Scored(float(a == b), answer=a) for a, b in pairs]


@dataclass(frozen=True)
class Digit(QuestionTask):
    """``1=`` is answered by 1, ``2=`` by 2."""

    @property
    def grader(self) -> Grader:
        return Same()

    def build(self, split: str) -> Sequence[Question]:
        return [Question(f"{digit}=", str(digit)) for digit in (1, 2)]


TASK = Retry(Digit(), turns=3, retry="*", separator="")


def evaluated(answer: Callable[[str, int, bool], str], config: EvalConfig, **options: Any) -> TurnEvaluation:
    """An evaluation in which ``answer`` (context, request of this context so far, greedy) speaks."""
    seen: dict[str, int] = {}

    def script(request: Request) -> str:
        context = POLICY.tokenizer.decode(list(request.prompt), skip_special_tokens=True)
        greedy = request.sampling.temperature == 0
        seen[context] = seen.get(context, -1) + 1
        return answer(context, seen[context], greedy)

    engine = ScriptedEngine(
        script, encode=lambda text: POLICY.tokenizer(text, add_special_tokens=False)["input_ids"], end_id=END
    )
    task = options.pop("task", TASK)
    found, _ = evaluate_retries(POLICY, task, Sampling(max_tokens=2), config, engine=engine, **options)
    return found


def planted(context: str, number: int, greedy: bool) -> str:
    """Question 1: 5, then 1 and 1. Question 2: the run says 2 2 3, further first answers are 4. Greedy is right."""
    if greedy:
        return context[0]
    asked, attempts = context[0], context.count("*")
    if asked == "1":
        return "511"[attempts]
    return ("2" if number == 0 else "4") if attempts == 0 else "23"[attempts - 1]


def test_planted_attempts_come_out_as_their_measures() -> None:
    found = evaluated(planted, EvalConfig())
    named = {name: estimate.value for name, estimate in found.named.items()}
    assert named == {
        "m1@t1": 0.5,
        "m3@t1": 0.0,  # 5 5 5 and 2 4 4
        "m1@t3": 1.0,
        "p1@t3": 1.0,
        "m1@t3 − m1@t1": 0.5,
        "m1@t3 − m3@t1": 1.0,
        "last − first": 0.0,
        "attempts with oracle": 1.5,
    }
    assert [e.value for e in found.curves.accuracy] == [0.5, 1.0, 0.5]
    assert [e.value for e in found.curves.tokens] == [2.0] * 3
    assert found.greedy is not None
    assert [e.value for e in found.greedy.accuracy] == [1.0] * 3
    assert (found.questions, found.runs, found.failures) == (2, 2, 0)


def test_runs_never_stop_and_enough_of_them_are_the_parallel_answers() -> None:
    asked: list[str] = []

    def answer(context: str, number: int, greedy: bool) -> str:
        asked.append(context)
        return context[0]

    config = EvalConfig(samples=4, greedy=False)
    found = evaluated(answer, config, task=replace(TASK, stop_when_correct=True, window=1))
    assert sorted(asked) == ["1="] * 12 + ["2="] * 12
    assert found.named["m3@t1"].value == 1.0


def test_votes_are_weighted_by_a_judge_of_the_text() -> None:
    judge = {"name": "pattern", "pattern": "1|4|3", "correct": 5.0}
    found = evaluated(planted, EvalConfig(greedy=False), vote=VoteConfig(judge=judge))
    # question 1: 5 against 1 1; question 2: 2 2 against 3, which weighs e^5
    assert found.by_question["w1@t3"] == {0: 1.0, 1: 0.0}
    assert found.by_question["m1@t3"] == {0: 1.0, 1: 1.0}


def test_failed_runs_count_nowhere_but_as_failures() -> None:
    def answer(context: str, number: int, greedy: bool) -> str:
        return "9" if context.startswith("2") else "1"

    found = evaluated(answer, EvalConfig(samples=2, greedy=False))
    assert (found.questions, found.runs, found.failures) == (1, 2, 3), (
        "two runs and one more first answer of question 2"
    )
    assert found.named["m1@t1"].value == 1.0


def test_nothing_graded_is_an_error_that_names_the_first_fault() -> None:
    with pytest.raises(HoneError, match=r"no run could be graded; got 2 runs; the first failed: exception: a nine"):
        evaluated(lambda *_: "9", EvalConfig())


def test_a_judge_that_fails_is_named() -> None:
    with pytest.raises(HoneError, match=r"the judge of votes failed; at vote.judge; got exception: ZeroDivision"):
        evaluated(lambda *_: "1", EvalConfig(greedy=False), vote=VoteConfig(judge=Broken()))
    with pytest.raises(HoneError, match=r'unknown grader; got "rewardmodel"; expected .*reward_model'):
        VoteConfig(judge="rewardmodel")


class Broken(Same):
    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        raise ZeroDivisionError


def test_a_window_longer_than_the_context_names_the_question_or_is_shortened() -> None:
    wide = replace(TASK, turns=5, retry="*" * 12)  # the model's context is 32 tokens
    with pytest.raises(HoneError) as error:
        evaluated(lambda *_: "1", EvalConfig(greedy=False), task=wide)
    told = "the context of turn 4 on episode 0 ('1=') has 44 tokens, the context only 32"
    assert (error.value.got, error.value.do) == (
        told,
        'a smaller task.window, or task.overflow = "shorten" to leave out the oldest attempts',
    )
    found = evaluated(lambda *_: "1", EvalConfig(greedy=False), task=replace(wide, overflow="shorten"))
    assert [e.value for e in found.curves.accuracy] == [0.5] * 5
    assert evaluated(lambda *_: "1", EvalConfig(greedy=False), task=replace(wide, window=3)).runs == 2


def test_critiques_are_neither_graded_nor_voted_on() -> None:
    def answer(context: str, number: int, greedy: bool) -> str:
        return "9" if context.endswith("+") else context[0]

    found = evaluated(answer, EvalConfig(greedy=False), task=replace(TASK, critique="+"))
    assert [e.value for e in found.curves.accuracy] == [1.0] * 3
    assert found.named["m1@t3"].value == 1.0
    assert [e.value for e in found.curves.distinct] == [1.0] * 3
