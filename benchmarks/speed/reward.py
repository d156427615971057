"""The reward of whole training steps, for TRL and hone alike."""

from __future__ import annotations

from typing import Any


def even_share(prompts: list[Any], completions: list[str], **columns: Any) -> list[float]:
    """The share of even numbers among a completion's words ``t17 t4 …``."""
    numbers = [[int(word[1:]) for word in text.split() if word[1:].isdigit()] for text in completions]
    return [sum(n % 2 == 0 for n in row) / max(len(row), 1) for row in numbers]
