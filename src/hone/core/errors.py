"""Errors a user can act on: what went wrong, where, what was found, what was expected, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HoneError(Exception):
    """A fault in what the user gave (or in the machine), never a bug in hone: shown without a traceback, exit code 2.

    Args:
        what: one sentence naming the fault.
        where: file and line, key, or command in which it stands.
        got: what was found there.
        expected: what would have been right.
        do: the next thing to try.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", got: str = "", expected: str = "", do: str = "") -> None:
        self.what, self.where, self.got, self.expected, self.do = what, where, got, expected, do
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [self.what]
        named = (("at", self.where), ("got", self.got), ("expected", self.expected), ("do:", self.do))
        parts += [f"{name} {text}" for name, text in named if text]
        return "; ".join(parts)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like ``name`` as a hint (`did you mean "x"?`), or the whole list where none is alike."""
    known = sorted(known)
    matches = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    # of names that are about as like, one of the same letters: swapping two is the commonest slip
    match = max(matches, key=lambda other: sorted(other) == sorted(name), default=None)
    return f'did you mean "{match}"?' if match else f"one of: {', '.join(known)}"
