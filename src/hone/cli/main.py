"""The command ``hone``: finds the verb's file, runs it, and says errors without tracebacks.

A verb is a module of this package: its docstring's first line is its help, its ``run(argv)`` does the work and
imports what is heavy. Nothing here imports anything slow, so ``hone --help`` answers at once.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from pathlib import Path

import hone

_HERE = Path(__file__).parent
_ORDER = [
    "quickstart",
    "pretrain",
    "sft",
    "reward",
    "prefer",
    "distill",
    "train",
    "rounds",
    "profile",
    "eval",
    "chat",
    "ui",
    "feedback",
    "report",
    "reproduce",
    "tabular",
    "play",
    "doctor",
]


def main() -> None:
    """Entry point: exits 0 on success, 2 on a fault of the user's, 130 on Ctrl-C."""
    sys.exit(call(sys.argv[1:]))


def call(argv: list[str]) -> int:
    """Run one command line and return its exit code; a :class:`HoneError` becomes one line on standard error."""
    from hone.core.errors import HoneError, nearest

    # package.module:Name means the user's own modules too; a console script does not see the current folder.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        verb, rest = (argv[0], argv[1:]) if argv else ("--help", [])
        if verb in ("-h", "--help", "help"):
            print(_help())
        elif verb in ("-V", "--version"):
            print(f"hone {hone.__version__}")
        elif verb not in verbs():
            raise HoneError("unknown command", got=f'"{verb}"', expected=nearest(verb, verbs()))
        else:
            importlib.import_module(f"hone.cli.{verb}").run(["--help" if word == "-h" else word for word in rest])
        sys.stdout.flush()
    except HoneError as error:
        print(f"hone: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nhone: stopped; a training run goes on from its last checkpoint with --resume", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`hone … | head`); nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def verbs() -> dict[str, str]:
    """Every verb and its help line, in the order a newcomer meets them."""
    files = [p for p in _HERE.glob("*.py") if p.stem not in ("__init__", "main") and not p.stem.startswith("_")]
    found = {p.stem: (ast.get_docstring(ast.parse(p.read_text())) or "").split("\n")[0] for p in files}
    rank = {name: i for i, name in enumerate(_ORDER)}
    return dict(sorted(found.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])))


def _help() -> str:
    lines = ["usage: hone COMMAND [options]      hone COMMAND --help says what a command takes", ""]
    lines += [f"  {name:<12} {text}" for name, text in verbs().items()]
    lines += ["", "Start with `hone quickstart`: a model learns arithmetic in front of you, on this machine."]
    return "\n".join(lines)
