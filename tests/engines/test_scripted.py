"""The scripted engine keeps the protocol of a real one."""

from __future__ import annotations

import pytest

from hone.core.types import Completion
from hone.engines.base import Request, Sampling
from hone.engines.scripted import ScriptedEngine


def request(i: int, prompt: tuple[int, ...] = (1,), max_tokens: int = 8) -> Request:
    return Request(i, prompt, Sampling(max_tokens=max_tokens), i)


def encode(text: str) -> list[int]:
    return [ord(c) for c in text]


def test_text_is_encoded_and_ended() -> None:
    engine = ScriptedEngine(lambda r: "ab" * len(r.prompt), encode=encode, end_id=0, logprob=-0.5)
    engine.sync(3)
    (done,) = engine.generate([request(0)])
    assert done == Completion((97, 98, 0), (-0.5,) * 3, "end", 3)
    (cut,) = engine.generate([request(0, max_tokens=2)])
    assert cut == Completion((97, 98), (-0.5,) * 2, "length", 3)


def test_ids_and_completions_are_taken_as_they_are() -> None:
    whole = Completion((4,), (-2.0,), "stop")
    answers: dict[object, object] = {0: [5, 6], 1: [5, 0], 2: whole}
    engine = ScriptedEngine(lambda r: answers[r.id], end_id=0)  # type: ignore[arg-type,return-value]
    engine.sync(1)
    found = engine.generate([request(i) for i in range(3)])
    assert [(c.tokens, c.stop, c.policy_version) for c in found] == [
        ((5, 6), "stop", 1),
        ((5, 0), "end", 1),
        ((4,), "stop", 1),
    ]
    assert found[2].logprobs == (-2.0,)


def test_collection_is_continuous() -> None:
    engine = ScriptedEngine(lambda r: [r.prompt[0]], batch=2)
    engine.submit([request(i, (i,)) for i in range(3)])
    assert [key for key, _ in engine.collect()] == [0, 1]
    engine.submit([request(7, (7,))])
    with pytest.raises(RuntimeError, match="collect"):
        engine.generate([])
    assert [(key, c.tokens) for key, c in engine.collect()] == [(2, (2,)), (7, (7,))]
    assert engine.collect() == []
    assert [r.id for r in engine.requests] == [0, 1, 2, 7]


def test_text_without_an_encoder_is_the_scripts_fault() -> None:
    with pytest.raises(TypeError, match="encode"):
        ScriptedEngine(lambda r: "a").generate([request(0)])
