"""Who answers in the policy's place: the best of its own, solvers, other models, servers that are well or not."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from teacher_server import says, serving

from hone.core.errors import HoneError
from hone.core.types import Failed, Outcome, Scored
from hone.data.attempts import Attempt
from hone.engines.base import Request, Sampling
from hone.engines.scripted import ScriptedEngine
from hone.envs.graders.base import Columns, Prompt
from hone.envs.questions import Question, QuestionTask
from hone.envs.tasks.addition import Addition
from hone.envs.tasks.subset_sum import SubsetSum
from hone.models.chat import Renderer
from hone.models.config import ModelConfig
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import byte_tokenizer, char_tokenizer
from hone.rollout.improvers import http as http_module
from hone.rollout.improvers.base import Desk, Place
from hone.rollout.improvers.best_of import BestOf
from hone.rollout.improvers.http import Http
from hone.rollout.improvers.model import Model
from hone.rollout.improvers.nobody import Nobody
from hone.rollout.improvers.solver import Solver

TOKENIZER = char_tokenizer("0123456789>:=yn!#")
RENDERER = Renderer(TOKENIZER)


class Length(QuestionTask):
    """An answer is worth its length; the grader breaks on "#"."""

    def build(self, split: str) -> Sequence[Question]:
        return [Question(f"{i}:", "0") for i in range(3)]

    @property
    def grader(self) -> Length:
        return self

    floor = 0.0

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        return [Failed("#", "exception") if "#" in c else Scored(float(len(c))) for c in completions]


def desk(task: QuestionTask, answers: Sequence[str] = ()) -> Desk:
    """A policy that gives these answers, by the last part of the request's id."""

    def script(request: Request) -> str:
        assert isinstance(request.id, tuple)
        return answers[request.id[-1]]

    engine = ScriptedEngine(script, encode=RENDERER._encode, end_id=TOKENIZER.eos_token_id)
    return Desk(engine, RENDERER, Sampling(max_tokens=12), task)


def place(
    task: QuestionTask, tried: Sequence[tuple[str, float | None]] = (), noise: int = 1, episode: int = 0
) -> Place:
    question = task.questions("train")[episode]
    context = RENDERER.opening(question.text)
    for text, _ in tried:
        context = [*context, *RENDERER.answer(text), *RENDERER._encode("!")]
    attempts = tuple(Attempt(text, tuple(RENDERER.answer(text)), reward) for text, reward in tried)
    return Place(episode, question, tuple(context), attempts, ("!",) * len(tried), noise)


def only(found: Sequence[Attempt | None]) -> Attempt:
    (one,) = found
    assert one is not None
    return one


def test_best_of_takes_the_first_of_the_best_with_its_ids() -> None:
    task = Length()
    found = only(BestOf(4).improve([place(task)], desk(task, ["1", "22", "33", "###"])))
    assert (found.text, found.reward, found.source) == ("22", 2, "best of 4")
    assert found.tokens == tuple(RENDERER.answer("22"))


def test_best_of_prefers_on_ties_to_hold_a_correct_attempt() -> None:
    task, there = Length(), place(Length(), [("33", 2.0), ("1", 1.0)])
    answers = ["22", "33", "44"]
    assert only(BestOf(3, ties="held", success=2.0).improve([there], desk(task, answers))).text == "33"
    assert only(BestOf(3, success=2.0).improve([there], desk(task, answers))).text == "22"
    assert only(BestOf(3, ties="held", success=3.0).improve([there], desk(task, answers))).text == "22"
    assert only(BestOf(3, ties="held", success=2.0).improve([there], desk(task, ["33", "444", "1"]))).text == "444"


def test_best_of_without_any_grade_and_its_noise() -> None:
    task = Length()
    asked = desk(task, ["#", "#"])
    places = [place(task, noise=1), place(task, noise=2, episode=1)]
    assert BestOf(2).improve(places, asked) == [None, None]
    failed = Failed("#", "exception")
    assert asked.graded == [(places[0], failed)] * 2 + [(places[1], failed)] * 2
    assert isinstance(asked.engine, ScriptedEngine)
    keys = [request.key for request in asked.engine.requests]
    assert len(set(keys)) == 4
    assert [request.prompt for request in asked.engine.requests] == [p.context for p in places for _ in range(2)]


def test_the_solver_holds_what_is_right() -> None:
    task = SubsetSum(train=20, test=5)
    right = task.solve(task.questions("train")[0], [], 3)
    found = Solver().improve([place(task), place(task, [(right, 1.0), ("000=0n", 0.0)])], desk(task))
    assert [each.reward for each in found if each] == [1, 1] and found[1] and found[1].text == right
    assert all(each and each.tokens == tuple(RENDERER.answer(each.text)) for each in found)
    with pytest.raises(HoneError, match=r"cannot solve.*Addition"):
        Solver().improve([], desk(Addition(train=5, test=5)))


def test_nobody() -> None:
    assert Nobody().improve([place(Length())] * 2, desk(Length())) == [None, None]


@pytest.mark.parametrize("same", [True, False])
def test_a_teacher_from_a_directory(same: bool, tmp_path: Path) -> None:
    tokenizer = TOKENIZER if same else byte_tokenizer()
    create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=32), tokenizer, 0).save(tmp_path)
    teacher = Model(ModelConfig(str(tmp_path)), Sampling(max_tokens=4))
    task = SubsetSum(train=20, test=5)
    long = place(task, [("473=14y", 1.0)] * 3)
    places = [place(task, noise=n) for n in range(6)]
    first, second = (teacher.improve([*places, long], desk(task)) for _ in range(2))
    assert first == second and first[-1] is None, "the long one does not fit"
    written = [each for each in first if each is not None]
    assert len({each.text for each in written}) > 1
    for each in written:
        assert each.reward == 0 and each.source == "teacher"
        assert each.tokens[-1] == TOKENIZER.eos_token_id and len(each.tokens) <= 5


def test_a_server_is_asked_the_conversation() -> None:
    task = SubsetSum(train=20, test=5)
    tried = place(task, [("000=0n", 0.0)])
    answer = task.solve(tried.question, [], 1)
    with serving(lambda body, n: (200, says(answer))) as server:
        teacher = Http(server.url, "big", max_tokens=9, temperature=0.2)
        found = teacher.improve([tried, place(task)], desk(task))
    assert found[0] == Attempt(answer, tuple(RENDERER.answer(answer)), 1.0, "teacher")
    bodies = sorted((body for body, _ in server.requests), key=lambda body: -len(body["messages"]))
    assert bodies[0] == {
        "model": "big",
        "messages": [
            {"role": "user", "content": tried.question.text},
            {"role": "assistant", "content": "000=0n"},
            {"role": "user", "content": "!"},
        ],
        "temperature": 0.2,
        "max_tokens": 9,
    }
    assert bodies[1]["messages"] == bodies[0]["messages"][:1]
    assert all("Authorization" not in headers for _, headers in server.requests)


def test_a_key_is_sent_and_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"TEACHER_KEY.*not set"):
        Http("http://x/v1", "m", key_env="TEACHER_KEY")
    monkeypatch.setenv("TEACHER_KEY", "secret")
    with serving(lambda body, n: (200, says("1"))) as server:
        teacher = Http(server.url, "m", key_env="TEACHER_KEY")
        teacher.improve([place(Length())], desk(Length()))
    assert server.requests[0][1]["Authorization"] == "Bearer secret"
    assert "secret" not in repr(teacher)


def test_a_server_that_answers_nothing() -> None:
    task = Length()
    with (
        serving(lambda body, n: (200, says(""))) as server,
        pytest.raises(HoneError, match=r"answered nothing.*2 empty"),
    ):
        Http(server.url, "m").improve([place(task)] * 2, desk(task))
    with serving(lambda body, n: (200, says(None if n == 1 else "44"))) as server:
        found = Http(server.url, "m", parallel=1).improve([place(task)] * 2, desk(task))
    assert found[0] is None and found[1] is not None and found[1].reward == 2


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between tries, which are not made."""
    found: list[float] = []
    monkeypatch.setattr(http_module, "_pause", found.append)
    return found


def test_a_server_that_is_down(waits: list[float]) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(HoneError, match=r"does not answer.*try 3 of 3.*refused.*--resume"):
            Http(url, "m", tries=3).improve([place(Length())], desk(Length()))
    assert waits == [1.0, 2.0]


def test_a_server_that_is_slow() -> None:
    with (
        serving(lambda body, n: (200, says("1")), delay=1.0) as server,
        pytest.raises(HoneError, match=r"nothing within 0.2 s"),
    ):
        Http(server.url, "m", timeout=0.2, tries=1).improve([place(Length())], desk(Length()))


def test_a_server_that_fails_at_first(waits: list[float]) -> None:
    with serving(lambda body, n: (503, b"busy") if n < 3 else (200, says("55"))) as server:
        found = only(Http(server.url, "m").improve([place(Length())], desk(Length())))
    assert found.text == "55" and len(server.requests) == 3 and len(waits) == 2


def test_a_server_that_refuses(waits: list[float]) -> None:
    with (
        serving(lambda body, n: (401, b"no such key")) as server,
        pytest.raises(HoneError, match=r"try 1 of 4.*401: no such key"),
    ):
        Http(server.url, "m").improve([place(Length())], desk(Length()))
    assert not waits
    with (
        serving(lambda body, n: (200, b"<html>")) as server,
        pytest.raises(HoneError, match=r"try 4 of 4.*no chat completion.*<html>"),
    ):
        Http(server.url, "m").improve([place(Length())], desk(Length()))
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_place_that_is_refused_has_no_answer(status: int, waits: list[float]) -> None:
    task = Length()
    with serving(lambda body, n: (status, b"too long") if n == 1 else (200, says("44"))) as server:
        found = Http(server.url, "m", parallel=1).improve([place(task)] * 2, desk(task))
    assert found[0] is None and found[1] is not None and found[1].reward == 2
    with (
        serving(lambda body, n: (status, b"too long")) as server,
        pytest.raises(HoneError, match=rf"refuses every question.*2 refusals.*{status}: too long"),
    ):
        Http(server.url, "m").improve([place(task)] * 2, desk(task))
    assert not waits


def test_answers_that_break_off_or_are_none_are_asked_for_again(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, breaks = http.client.HTTPResponse.read, [True]

    def breaking(self: http.client.HTTPResponse, amt: int | None = None) -> bytes:
        if breaks:
            breaks.pop()
            raise http.client.IncompleteRead(b"{")
        return read(self, amt)

    monkeypatch.setattr(http.client.HTTPResponse, "read", breaking)
    with serving(lambda body, n: (200, says("55") if n == 3 else b"<html>")) as server:
        found = only(Http(server.url, "m").improve([place(Length())], desk(Length())))
    assert (found.text, len(server.requests), waits) == ("55", 3, [1.0, 2.0])


def test_meaningless_options() -> None:
    with pytest.raises(ValueError, match=r"samples must be at least 1"):
        BestOf(0)
    with pytest.raises(ValueError, match=r"url must begin"):
        Http("localhost", "m")
    with pytest.raises(ValueError, match=r"timeout positive"):
        Http("http://x", "m", timeout=0)
