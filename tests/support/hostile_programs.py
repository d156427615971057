"""Programs that attack the grader, from the text files beside this one: ``#### name``, then the program."""

from __future__ import annotations

import re
from pathlib import Path


def read(name: str) -> dict[str, str]:
    text = (Path(__file__).parent / name).read_text()
    _, *parts = re.split(r"^#### (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


FUNCTIONS = read("hostile_functions.txt")
STDIN = read("hostile_stdin.txt")
