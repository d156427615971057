"""Watch a model learn arithmetic: pretrain, fine-tune, GRPO, evaluate, report; a few minutes on two cores.

usage: hone quickstart [--out runs/quickstart] [--seeds 1]
"""

from __future__ import annotations


def run(argv: list[str]) -> None:
    """``hone reproduce quickstart`` with its own folder."""
    from hone.cli import reproduce

    if "--help" in argv:
        print((__doc__ or "").strip())
        return
    out = [] if any(word.startswith("--out") for word in argv) else ["--out", "runs/quickstart"]
    reproduce.run(["quickstart", *out, *argv])
