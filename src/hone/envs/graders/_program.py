"""Where in a completion the program stands."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+-]*)[^\n]*$", re.MULTILINE)


def read_program(text: str) -> str:
    """The last fenced block of a Markdown text, or the whole text where it has no fence; "" if there is none.

    A block that is never closed is no answer, as in the other graders. One fence alone, at the end, closes a
    block that the prompt has opened.
    """
    fences = list(_FENCE.finditer(text))
    if not fences:
        return text.rstrip() if text.strip() else ""
    if len(fences) == 1:
        bare = not fences[0][2]
        before, after = text[: fences[0].start()], text[fences[0].end() :]
        return before.rstrip() if bare and before.strip() and not after.strip() else ""
    found, opened = "", None
    for fence in fences:
        if opened is None:
            opened = fence
        elif fence[1][0] == opened[1][0] and len(fence[1]) >= len(opened[1]) and not fence[2]:
            found, opened = text[opened.end() + 1 : fence.start()], None
    return "" if opened is not None else found.rstrip()


def complete(program: str, begun: str, entry: str) -> str:
    """The whole program of an answer to a prompt that begins one.

    Args:
        program: what the answer holds.
        begun: the beginning in the prompt: imports, helper functions, the head of the function.
        entry: the function asked for.

    Returns:
        The beginning and the answer as one text where the answer goes on from it; where it defines the
        function itself, the same with the head's own definition replaced by that.
    """
    if not begun:
        return program
    whole = re.search(
        rf"^(async\s+def|def|class)\s+{re.escape(entry)}\b|^{re.escape(entry)}\s*=", program, re.MULTILINE
    )
    return f"{begun.rstrip()}\n\n{program}" if whole else f"{begun}{program}"
