"""What a judge is."""

from __future__ import annotations

from typing import Protocol

from hone.core.feedback import Text


class Judge(Protocol):
    """Compares two answers to a prompt; a frozen dataclass whose fields are its options."""

    def prefers_first(self, prompt: Text, first: str, second: str, turn: int = 0) -> bool | None:
        """Whether the first answer is better; None if neither is. ``turn`` makes a second opinion another one."""
