"""The part of :class:`hone.envs.graders.math.Math` that runs in the child process."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_WORD = re.compile(r"[^\W\d_]{3}")


def verdicts(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """``right``, ``wrong``, ``unreadable`` (the answer) or ``bad reference`` per (answer, reference)."""
    return [_verdict(answer, reference) for answer, reference in pairs]


def _verdict(answer: str, reference: str) -> str:
    if not reference.strip():
        return "bad reference"
    if not answer:
        return "unreadable"
    if _plain(answer) == _plain(reference):
        return "right"
    if _WORD.search(reference) and not re.search(r"[0-9\\]", reference):
        return "wrong"
    wanted = _parse(reference)
    if not _understood(wanted):
        return "bad reference"
    try:
        found = _parse(answer)
    except Exception:  # sympy raises anything on nonsense: the answer's fault
        return "unreadable"
    if not _understood(found):
        return "unreadable"
    from math_verify import verify

    return "right" if verify(wanted, found, timeout_seconds=None) else "wrong"


@lru_cache(maxsize=4096)
def _parse(text: str) -> Any:
    from math_verify import LatexExtractionConfig, parse

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns that we do without its alarm signal
    inner = text.strip().removeprefix("$").removesuffix("$")
    configs = [LatexExtractionConfig(boxed_match_priority=0)]
    return parse(rf"\boxed{{{inner}}}", extraction_config=configs, parsing_timeout=None, raise_on_error=True)


def _understood(parsed: Any) -> bool:
    """Whether anything but the text itself came out."""
    return any(not isinstance(item, str) for item in parsed)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
