"""Where time goes: named spans of work, which cost next to nothing while nobody records.

``with span("decode", rows=64): ...`` marks what is worth telling apart. Spans nest; the time of an inner one is not
counted in the outer. Only one recording at a time, in one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

_NOTHING: AbstractContextManager[None] = nullcontext()


@dataclass(frozen=True, slots=True)
class Event:
    """One span that has ended.

    Attributes:
        path: names of the spans around it, outermost first, its own last.
        seconds: its time without that of the spans inside it.
        counts: what was counted in it, by name.
    """

    path: tuple[str, ...]
    seconds: float
    counts: Mapping[str, float]


class Recorder:
    """Collects the spans of a :func:`recording`.

    Args:
        wait: called at both ends of every span, for a device that works behind the program's back.
        peak: the largest memory since it was called last; asked at both ends of the watched spans.
        watched: names of spans whose memory is wanted.

    Attributes:
        events: spans in the order in which they ended.
        memory: name of a watched span to the largest memory in it, without what happened in watched spans inside it.
    """

    def __init__(
        self,
        wait: Callable[[], None] = lambda: None,
        peak: Callable[[], float] = lambda: 0.0,
        watched: Collection[str] = (),
    ) -> None:
        self.wait, self.peak, self.watched = wait, peak, frozenset(watched)
        self.events: list[Event] = []
        self.memory: dict[str, float] = {}
        self.open: list[_Span] = []

    def count(self, name: str, amount: float) -> None:
        """Add to what is counted in the innermost open span, if there is one."""
        if self.open:
            counts = self.open[-1].counts
            counts[name] = counts.get(name, 0.0) + amount

    def note_memory(self) -> None:
        """Give the largest memory since the last call to the innermost watched span that is open."""
        most = self.peak()
        name = next((s.name for s in reversed(self.open) if s.name in self.watched), "")
        self.memory[name] = max(self.memory.get(name, 0.0), most)


@dataclass(slots=True)
class _Span(AbstractContextManager[None]):
    recorder: Recorder
    name: str
    counts: dict[str, float]
    inner: float = 0.0
    began: float = field(default=0.0)

    def __enter__(self) -> None:
        if self.name in self.recorder.watched:
            self.recorder.note_memory()
        self.recorder.open.append(self)
        self.recorder.wait()
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.recorder.wait()
        spent = time.perf_counter() - self.began
        around = self.recorder.open
        if self.name in self.recorder.watched:
            self.recorder.note_memory()
        path = tuple(s.name for s in around)
        around.pop()
        if around:
            around[-1].inner += spent
        self.recorder.events.append(Event(path, spent - self.inner, self.counts))


_recorder: Recorder | None = None


def span(name: str, **counts: float) -> AbstractContextManager[None]:
    """A block of work to be told apart from what is around it; nothing happens unless somebody records.

    Args:
        name: what it is.
        counts: numbers about it.
    """
    return _NOTHING if _recorder is None else _Span(_recorder, name, counts)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Let a recorder see every span inside this block.

    Raises:
        RuntimeError: somebody records already.
    """
    global _recorder
    if _recorder is not None:
        raise RuntimeError("spans are being recorded already")
    _recorder = recorder
    try:
        yield
    finally:
        _recorder = None
