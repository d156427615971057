"""Talk to any model directory: a conversation where it has a chat template, plain continuation where it has none.

usage: hone chat MODEL [--temperature 1.0] [--max-tokens 256] [--seed 0]
"""

from __future__ import annotations

import sys

from hone.cli._recipes import split_flags
from hone.core.config import build
from hone.core.errors import HoneError


def run(argv: list[str]) -> None:
    """Read lines, print completions; an empty line or end of input stops."""
    positional, settings, given = split_flags(argv, frozenset({"help"}))
    if "help" in given:
        print((__doc__ or "").strip())
        return
    if len(positional) != 1:
        raise HoneError("hone chat takes one model", got=" ".join(positional) or "none", do="hone chat --help")
    from hone.cli._recipes import literal
    from hone.core.seeding import key
    from hone.core.types import Completion
    from hone.engines.base import Request, Sampling
    from hone.engines.embedded import EmbeddedEngine
    from hone.models.chat import Renderer
    from hone.models.policy import load

    seed = literal(settings.pop("seed", "0"))
    if not isinstance(seed, int):
        raise HoneError("the seed is not a whole number", where="--seed", got=repr(seed))
    values = {"max_tokens": 256} | {name: literal(text) for name, text in settings.items()}
    sampling = build(Sampling, values, "hone chat")
    policy = load(positional[0])
    engine, renderer = EmbeddedEngine.of(policy, slots=1), Renderer(policy.tokenizer)
    context: list[int] = []
    last = Completion((), (), "end")
    chatting = policy.tokenizer.chat_template is not None
    what = "a line" if chatting else "the beginning of a text"
    print(f"type {what}; an empty line ends", file=sys.stderr)
    turn = 0
    while line := _ask():
        if chatting and context:
            context += renderer.following(line, last.tokens, last.stop == "end")
        else:
            context = list(renderer.opening(line))
        try:
            last = engine.generate([Request(turn, tuple(context), sampling, key(seed, "chat", turn))])[0]
        except HoneError as error:
            print(f"hone: {error}\nthe conversation starts anew", file=sys.stderr)
            context = []
            continue
        print(renderer.decode(last.tokens))
        context += last.tokens
        turn += 1
    print(f"{turn} answers from {positional[0]}", file=sys.stderr)


def _ask() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return ""
