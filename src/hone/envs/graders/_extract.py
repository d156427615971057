"""Where in a completion the answer stands.

One policy everywhere, so that an answer cannot be hedged: the LAST place counts and only that one. A
completion that lists alternatives, repeats the marker or pastes the right answer into its working is judged
by its last word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Extraction:
    """How an answer is read out of a text; at most one of the three. Without any, the whole text, stripped.

    Attributes:
        marker: the rest of the line after the last occurrence of this text (``####`` in GSM8K).
        pattern: the last match of a regular expression: its first group, or all of it if it has none.
        boxed: the content of the last ``boxed{...}``, braces balanced; one that is never closed is no answer.
    """

    marker: str = ""
    pattern: str = ""
    boxed: bool = False

    def __post_init__(self) -> None:
        if sum((bool(self.marker), bool(self.pattern), self.boxed)) > 1:
            raise ValueError("give one of marker, pattern and boxed")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"the pattern is not a regular expression: {error}") from error

    def read(self, text: str) -> str | None:
        """The answer, stripped; None where there is none or it is empty."""
        if self.marker:
            _, found, after = text.rpartition(self.marker)
            answer = after.lstrip(" \t").partition("\n")[0] if found else ""
        elif self.pattern:
            match = None
            for match in re.finditer(self.pattern, text):  # noqa: B007 (the last one is wanted)
                pass
            answer = (match[1 if match.re.groups else 0] or "") if match else ""
        elif self.boxed:
            answer = last_boxed(text) or ""
        else:
            answer = text
        return answer.strip() or None


def last_boxed(text: str) -> str | None:
    """The content of the last ``boxed{...}``, or None if there is none or its brace is never closed."""
    start = text.rfind("boxed{")
    if start < 0:
        return None
    start += len("boxed{")
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i]
    return None
