"""Pretrain the quickstart's base model and write its training questions down: ``python -m … FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hone.reproduce.quickstart import TASK, pretrain


def main() -> None:
    folder = Path(sys.argv[1])
    pretrain(folder, seed=0)
    rows = [[question.text, question.answer] for question in TASK.questions("train")]
    (folder / "questions.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
