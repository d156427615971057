"""Several attempts at a question: what is said, what is graded, when it ends, and what would give the answer away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from hone.core.config import build_named, plain
from hone.core.errors import HoneError
from hone.core.types import Failed, Outcome, Scored
from hone.envs.graders.base import Columns, Grader, Prompt
from hone.envs.leaks import revealed
from hone.envs.questions import Question, QuestionTask
from hone.envs.tasks.retry import TRY_AGAIN, Retry, RetryEnv, asked


@dataclass(frozen=True)
class Hot:
    """Is the number right? Says by how much it is off, or, told to, what it should have been."""

    tell: bool = False
    floor: float = 0.0

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        return [self._one(text, answer) for text, answer in zip(completions, columns["answer"], strict=True)]

    def _one(self, text: str, answer: str) -> Outcome:
        if text == "boom":
            return Failed("no grade", "exception")
        if text == answer:
            return Scored(1.0, answer=text)
        feedback = f"it should be {answer}." if self.tell else f"{text!r} is wrong"
        return Scored(0.0, answer=text, feedback=feedback)


@dataclass(frozen=True)
class Sums(QuestionTask):
    """``1+1=`` to ``9+9=``; as conversations if asked to."""

    chat: bool = False
    tell: bool = False

    @property
    def grader(self) -> Grader:
        return Hot(self.tell)

    def build(self, split: str) -> Sequence[Question]:
        numbers = range(2, 9, 2) if split == "test" else range(1, 10, 2)
        return [Question(self._prompt(f"{n}+{n}="), str(2 * n), {"hint": f"twice {n}"}) for n in numbers]

    def metrics(self, question: Question, answer: str) -> dict[str, float]:
        return {"length": float(len(answer))}

    def stratum(self, episode: int, split: str) -> str:
        return f"{split} {episode}"

    def _prompt(self, text: str) -> Prompt:
        if not self.chat:
            return text
        first = {"role": "user", "content": "2+3="}, {"role": "assistant", "content": "5"}
        return [{"role": "system", "content": "Add."}, *first, {"role": "user", "content": text}]


def played(task: Retry, actions: Sequence[str], **options: Any) -> list[tuple[str, float, bool, dict[str, Any]]]:
    env = task.env("train")
    env.reset(options={"episode": 1, **options})
    return [(text, float(reward), over, info) for text, reward, over, _, info in map(env.step, actions)]


def test_every_attempt_but_the_last_is_answered_by_the_retry_text_whatever_it_was_worth() -> None:
    steps = played(Retry(Sums(), turns=3), ["4", "6", "7"])
    again = "Your answer is incorrect. Please try again. Here is the question: 3+3="
    assert [text for text, *_ in steps] == ["\n" + again, "\n" + again, ""]
    assert [reward for _, reward, *_ in steps] == [0.0, 1.0, 0.0]
    assert [over for _, _, over, _ in steps] == [False, False, True]
    assert steps[0][3]["messages"] == [{"role": "user", "content": again}]
    assert "keep" not in steps[0][3]
    assert steps[2][3]["metrics"] == {"length": 1.0, "first": 0.0, "last": 0.0, "attempts": 3.0}


def test_an_oracle_stops_at_the_first_correct_attempt() -> None:
    steps = played(Retry(Sums(), turns=5, stop_when_correct=True), ["4", "6"])
    assert [over for _, _, over, _ in steps] == [False, True]
    assert steps[1][3]["metrics"] == {"length": 1.0, "first": 0.0, "last": 1.0, "attempts": 2.0}


def test_correct_is_what_the_recipe_says_to_rounding() -> None:
    assert played(Retry(Sums(), stop_when_correct=True, correct=0.0), ["4"])[0][2]
    assert played(Retry(Sums(), stop_when_correct=True, correct=1.0 + 1e-12), ["6"])[0][2]


def test_the_question_of_a_conversation_is_its_last_user_message() -> None:
    task = Retry(Sums(chat=True), retry="No: {question} ({hint})", separator="")
    assert played(task, ["4"])[0][0] == "No: 3+3= (twice 3)"
    assert asked(Question([{"role": "system", "content": "a"}, {"role": "assistant", "content": "b"}])) == "a\nb"


def test_feedback_takes_the_place_of_the_retry_text_where_there_is_any() -> None:
    alone = Retry(Sums(), feedback="{feedback}", separator="")
    both = Retry(Sums(), retry="Again: {question}", feedback="{feedback}! {retry}", separator="|")
    assert [text for text, *_ in played(alone, ["4", "6", "5"])] == [
        "'4' is wrong",
        TRY_AGAIN.format(question="3+3="),
        "'5' is wrong",
    ]
    assert [text for text, *_ in played(both, ["4", "6"])] == ["|'4' is wrong! Again: 3+3=", "|Again: 3+3="]


def test_what_follows_a_journalled_outcome_is_what_followed_it_before() -> None:
    task = Retry(Sums(), feedback="{feedback}", separator="", stop_when_correct=True)
    known: dict[int, Outcome] = {0: Scored(0.0, feedback="too slow"), 2: Scored(1.0)}
    steps = played(task, ["6", "1", "1"], outcomes=known)
    assert [text for text, *_ in steps] == ["too slow", "'1' is wrong", ""]
    assert [over for _, _, over, _ in steps] == [False, False, True]
    assert steps[2][3]["metrics"] == {"length": 1.0, "first": 0.0, "last": 1.0, "attempts": 3.0}


def test_a_critique_is_asked_for_between_attempts_and_not_graded() -> None:
    task = Retry(Sums(), turns=2, retry="Again.", critique="What is wrong with it?", separator="")
    steps = played(task, ["4", "boom", "6"])
    assert [text for text, *_ in steps] == ["What is wrong with it?", "Again.", ""]
    assert [reward for _, reward, *_ in steps] == [0.0, 0.0, 1.0]
    assert [over for _, _, over, _ in steps] == [False, False, True]
    assert steps[2][3]["metrics"]["attempts"] == 2.0


def test_feedback_on_an_attempt_is_said_after_its_critique() -> None:
    task = Retry(Sums(), turns=2, feedback="{feedback}", critique="Criticise.", separator="")
    assert [text for text, *_ in played(task, ["4", "hm"])] == ["Criticise.", "'4' is wrong"]


@pytest.mark.parametrize(
    ("window", "critique", "keeps"),
    [(1, "", [0, 0]), (2, "", [1, 1]), (3, "", [2, 2]), (2, "Criticise.", [3, 2, 3, 2])],
)
def test_a_window_keeps_the_attempts_before_the_one_to_come(window: int, critique: str, keeps: list[int]) -> None:
    steps = played(Retry(Sums(), turns=3, window=window, critique=critique), ["1"] * len(keeps))
    assert [info["keep"] for *_, info in steps] == keeps


def test_many_are_graded_in_one_call_and_as_each_would_be() -> None:
    task = Retry(Sums(), turns=2, critique="Criticise.", retry="Again.", separator="")
    envs = [task.env("train") for _ in range(4)]
    for episode, env in enumerate(envs):
        env.reset(options={"episode": episode})
    envs[1].step("6")  # waits for a critique
    steps = task.step_many(envs, ["2", "hm", "boom", "0"])
    assert [step.observation for step in steps] == ["Criticise.", "Again.", "", "Criticise."]
    assert [step.outcome for step in steps] == [
        Scored(1.0, answer="2"),
        Scored(0.0),
        Failed("no grade", "exception"),
        Scored(0.0, answer="0", feedback="'0' is wrong"),
    ]
    assert [step.terminated for step in steps] == [False, False, True, False]


def test_a_text_that_cannot_be_written_is_the_failure_of_its_own_episode() -> None:
    env = Retry(Sums(), retry="{nothing}").env("train")
    env.reset(options={"episode": 0})
    _, reward, over, _, info = env.step("1")
    assert reward != reward
    assert over
    assert "names a column that is not there" in info["outcome"].reason


def test_a_table_in_a_table_names_the_inner_task_and_comes_back() -> None:
    table = {"name": "retry", "turns": 2, "of": {"name": "addition", "digits": 2}}
    task = build_named(table, "hone.envs.tasks", "task")
    assert (task.turns, task.of.digits, task.of.train) == (2, 2, 20_000)
    written = plain(task)
    assert written["of"]["name"] == "addition"
    assert build_named({"name": "retry", **written}, "hone.envs.tasks", "task") == task


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "a setting is missing; at [task]; expected a value for of"),
        ({"of": "addition"}, "retry is of a task of questions, not of str"),
        ({"of": {"name": "adition"}}, 'unknown task; got "adition"; expected did you mean "addition"?'),
        ({"of": {"name": "addition", "digit": 2}}, 'unknown key; at [task.of]; got "digit"'),
        ({"of": {"name": "retry", "of": {"name": "addition"}}}, "not of Retry"),
        ({"turns": 0}, "turns must be at least 1"),
        ({"turns": 65}, "at most 64 actions"),
        ({"turns": 33, "critique": "x"}, "at most 64 actions"),
        ({"window": 1, "feedback": "{feedback}"}, "no attempt sees what was said"),
        ({"overflow": "cut"}, "a setting has the wrong value"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, Any], told: str) -> None:
    of = {"of": {"name": "addition"}} if "of" not in values and values else {}
    with pytest.raises(HoneError) as error:
        build_named({"name": "retry", **of, **values}, "hone.envs.tasks", "task")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"retry": "No, it is {answer}. {question}"}, "task.retry"),
        ({"critique": "Why is it not {answer}?"}, "task.critique"),
        ({"retry": "Not so: it is 4."}, "task.retry"),
        ({"feedback": "{feedback}", "of": Sums(tell=True)}, "task.feedback"),
        ({"retry": "It is {answer}.", "of": Sums(chat=True)}, "task.retry"),
    ],
)
def test_a_text_that_reveals_the_answer_is_refused_unless_allowed(options: dict[str, Any], key: str) -> None:
    options = {"of": Sums(), **options}
    with pytest.raises(HoneError) as error:
        Retry(**options).preflight()
    assert "reveals the answer" in error.value.what
    assert error.value.where == key
    assert "whose answer is" in error.value.got
    Retry(**options, allow_leak=True).preflight()


@pytest.mark.parametrize(
    "options",
    [{}, {"retry": "!"}, {"retry": "{hint}? {question}"}, {"feedback": "{feedback}"}, {"critique": "Is it right?"}],
)
def test_honest_texts_pass(options: dict[str, Any]) -> None:
    Retry(Sums(), **options).preflight()


def test_a_column_that_is_not_there_is_named_before_anything_is_rolled_out() -> None:
    with pytest.raises(HoneError, match="names a column that is not there"):
        Retry(Sums(), retry="{hnt}").preflight()


def test_a_reference_is_looked_for_as_a_whole_word_outside_the_question() -> None:
    five = Question("Is it 5 or 6?", "5")
    shown = {"it is 5.": "5", "it is (5)": "5", "it is 15": "", "0.5": "", "5.2": "", "5,000": "", "": ""}
    assert {text: revealed(text, five) for text in shown} == shown
    assert revealed("Again: Is it 5 or 6?", five) == ""
    assert revealed("Again: Is it 5 or 6? 5", five) == "5"
    assert revealed("try y = x + 1", Question("q", "", known="y = x + 1")) == "y = x + 1"
    assert revealed("anything", Question("q")) == ""


def test_a_random_question_stays_the_same_over_its_attempts() -> None:
    task = Retry(Sums(), retry="{question}", separator="")
    env = task.env("test")
    assert isinstance(env, RetryEnv)
    text, info = env.reset(seed=3)
    assert [env.step("1")[0] for _ in range(3)] == [text] * 3
    assert text == task.of.questions("test")[info["episode"]].prompt
    assert task.stratum(info["episode"], "test") == f"test {info['episode']}"
    assert (task.size("train"), task.size("test")) == (5, 4)
