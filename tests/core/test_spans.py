"""Spans: self times, paths, counts, memory; nothing at all while nobody records."""

from __future__ import annotations

import time

import pytest

from hone.core import spans
from hone.core.spans import Recorder, recording, span


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless its one number is changed."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_an_inner_span_is_not_counted_in_the_outer(clock: list[float]) -> None:
    recorder = Recorder()
    with recording(recorder), span("step"):
        clock[0] += 1
        with span("learn"):
            clock[0] += 10
            with span("forward", rows=4):
                clock[0] += 100
            recorder.count("tokens", 3)
            recorder.count("tokens", 4)
            clock[0] += 20
        clock[0] += 2
    assert [(e.path, e.seconds, e.counts) for e in recorder.events] == [
        (("step", "learn", "forward"), 100, {"rows": 4}),
        (("step", "learn"), 30, {"tokens": 7}),
        (("step",), 3, {}),
    ]


def test_memory_goes_to_the_innermost_watched_span() -> None:
    levels = iter([1.0, 5.0, 9.0, 4.0, 2.0, 7.0])  # since: start, rollout, learn, rollout again; learn again, its end
    recorder = Recorder(peak=lambda: next(levels), watched={"rollout", "learn"})
    with recording(recorder):
        with span("rollout"), span("decode"), span("learn"):
            pass
        with span("learn"):
            pass
    assert recorder.memory == {"": 2.0, "rollout": 5.0, "learn": 9.0}


def test_the_device_is_waited_for_at_both_ends() -> None:
    waits: list[int] = []
    with recording(Recorder(wait=lambda: waits.append(1))), span("a"), span("b"):
        pass
    assert len(waits) == 4


def test_without_a_recorder_nothing_happens_and_it_is_cheap() -> None:
    assert span("a", rows=3) is span("b")
    began = time.process_time()
    for _ in range(100_000):
        with span("decode", rows=64):
            pass
    assert (time.process_time() - began) / 100_000 < 5e-6


def test_one_recording_at_a_time_and_none_after_an_error() -> None:
    with recording(Recorder()), pytest.raises(RuntimeError, match="already"), recording(Recorder()):
        pass
    with pytest.raises(ZeroDivisionError), recording(Recorder()):
        raise ZeroDivisionError
    assert spans._recorder is None
