"""Layouts of feedback in use on the hub: one row → labels.

=====================  =============================================================================
layout                 columns
=====================  =============================================================================
hone's own             ``kind``, ``answers``, ... (:func:`hone.data.feedback.entries.to_record`)
preference             ``prompt``, ``chosen``, ``rejected``
implicit prompt        ``chosen``, ``rejected``: whole dialogues whose common beginning is the prompt
unpaired               ``prompt``, ``completion``, ``label`` (true or false)
scored                 ``prompt``, ``completion``, ``score``
several answers        ``prompt``, ``completions`` and ``scores`` or ``ranks`` (1 is best)
demonstration          ``prompt``, ``completion``
=====================  =============================================================================

Texts are strings or lists of messages. Dialogues written ``\\n\\nHuman: ... \\n\\nAssistant: ...`` (HH-RLHF) become
messages, or stay text. Beside them may stand ``tie``, ``margin``, ``annotator``, and ``model`` and ``checkpoint``
(``chosen_model``, ``rejected_checkpoint``, ...).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Demonstration, Label, Ranking, Rating, Text
from hone.data.feedback.entries import from_record

Dialogues = Literal["messages", "text"]
"""What ``\\n\\nHuman:`` dialogues become: messages, or plain text as they are."""

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def row_labels(row: Mapping[str, Any], dialogues: Dialogues = "messages") -> list[Label]:
    """The labels that a row of any layout holds.

    Raises:
        HoneError: no known layout, an empty answer, the same answer twice, or a value of the wrong type.
    """
    has = {name for name, value in row.items() if value is not None}
    annotator = str(row.get("annotator") or "")
    if {"kind", "answers"} <= has:
        return [from_record(row).label]
    if {"chosen", "rejected"} <= has:
        return [_comparison(row, dialogues, annotator)]
    if {"prompt", "completions"} <= has:
        return _several(row, annotator)
    if {"prompt", "completion"} <= has:
        answer = Answer(_whole(row, "completion"), *_source(row, ""))
        if "label" in has:
            return [Rating(_whole(row, "prompt"), answer, thumb=_flag(row, "label"), annotator=annotator)]
        if "score" in has:
            return [Rating(_whole(row, "prompt"), answer, score=_number(row, "score"), annotator=annotator)]
        return [Demonstration(_whole(row, "prompt"), answer, annotator=annotator)]
    raise HoneError(
        "this is no feedback of a known layout",
        got=f"columns: {', '.join(row) or 'none'}",
        expected="chosen and rejected, or prompt and completion with label or score",
        do='name the columns, for example columns = {"completion": "response", "score": "helpfulness"}',
    )


def _comparison(row: Mapping[str, Any], dialogues: Dialogues, annotator: str) -> Comparison:
    chosen, rejected = _whole(row, "chosen"), _whole(row, "rejected")
    prompt = _whole(row, "prompt") if row.get("prompt") is not None else None
    if isinstance(chosen, str) and isinstance(rejected, str):
        if prompt is None:
            prompt, chosen, rejected = split_dialogues(chosen, rejected, dialogues)
    elif not isinstance(chosen, str) and not isinstance(rejected, str):
        shared = _common(chosen, rejected)
        if shared:  # some data sets repeat the prompt's messages in both answers
            prompt = (*_messages_before(prompt, chosen[:shared]), *chosen[:shared])
            chosen, rejected = _single(chosen[shared:]), _single(rejected[shared:])
        elif prompt is None:
            raise HoneError("the two dialogues have no common beginning, so there is no prompt")
        else:
            chosen, rejected = _single(chosen), _single(rejected)
    if prompt is None:
        raise HoneError("one answer is text and the other messages", got=f"columns: {', '.join(row)}")
    return Comparison(
        prompt,
        Answer(chosen, *_source(row, "chosen_")),
        Answer(rejected, *_source(row, "rejected_")),
        tie=_flag(row, "tie") if row.get("tie") is not None else False,
        annotator=annotator,
        margin=_number(row, "margin") if row.get("margin") is not None else None,
    )


def split_dialogues(chosen: str, rejected: str, dialogues: Dialogues = "messages") -> tuple[Text, Text, Text]:
    """Prompt and answers of two texts with a common beginning.

    Dialogues of ``\\n\\nHuman:`` and ``\\n\\nAssistant:`` turns are cut after their last common turn (as text: after
    the marker of the turn that differs); other texts before the word in which they first differ.
    """
    first, second = turns_of(chosen), turns_of(rejected)
    if first is None or second is None:
        end = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
        end = min(len(chosen), len(rejected)) if end is None else end
        while end and not chosen[end - 1].isspace():
            end -= 1
        return chosen[:end], chosen[end:], rejected[end:]
    shared = _common(first, second)
    if dialogues == "messages":
        return tuple(first[:shared]), _single(first[shared:]), _single(second[shared:])
    starts = [match.end() for match in _TURN.finditer(chosen)]
    cut = starts[shared] if shared < len(starts) else len(chosen)
    return chosen[:cut], chosen[cut:], rejected[cut:]


def turns_of(text: str) -> list[dict[str, str]] | None:
    """The messages of a dialogue as HH-RLHF writes it; None if the text is none."""
    pieces = _TURN.split(text)
    if len(pieces) < 3 or pieces[0].strip():
        return None
    pairs = zip(pieces[1::2], pieces[2::2], strict=True)
    return [{"role": _ROLES[name], "content": content.strip()} for name, content in pairs]


def _common(first: Sequence[Any], second: Sequence[Any]) -> int:
    """How many messages both begin with."""
    pairs = list(zip(first, second, strict=False))
    return next((i for i, (a, b) in enumerate(pairs) if dict(a) != dict(b)), len(pairs))


def _single(messages: Sequence[Mapping[str, Any]]) -> Text:
    """An answer of one assistant message as its text; of none as "" (which no answer may be)."""
    if not messages:
        return ""
    alone = len(messages) == 1 and messages[0]["role"] == "assistant" and set(messages[0]) == {"role", "content"}
    return str(messages[0]["content"]) if alone else tuple(messages)


def _messages_before(prompt: Text | None, shared: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """What an explicit prompt adds to the messages that both answers begin with: nothing if it repeats them."""
    if prompt is None or isinstance(prompt, str):
        return ()
    return () if _common(prompt, shared) == min(len(prompt), len(shared)) else tuple(prompt)


def _several(row: Mapping[str, Any], annotator: str) -> list[Label]:
    prompt = _whole(row, "prompt")
    if not isinstance(row["completions"], Sequence) or isinstance(row["completions"], str):
        raise HoneError("completions is no list", got=repr(row["completions"])[:80], expected="a list of answers")
    models = row.get("models") or [""] * len(row["completions"])
    answers = tuple(
        Answer(text if isinstance(text, str) else _single(text), str(model or ""))
        for text, model in zip(row["completions"], models, strict=True)
    )
    values = row.get("ranks") if row.get("ranks") is not None else row.get("scores")
    if values is None or len(values) != len(answers):
        raise HoneError("not one rank or score for each completion", got=f"{values} for {len(answers)} completions")
    if row.get("ranks") is not None:
        return [Ranking(prompt, answers, tuple(int(v) for v in values), annotator)]
    return [Rating(prompt, a, score=float(v), annotator=annotator) for a, v in zip(answers, values, strict=True)]


def _whole(row: Mapping[str, Any], name: str) -> Text:
    """A column of text or messages; lists become tuples, an answer of one assistant message its text."""
    value = row[name]
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and all(isinstance(m, Mapping) and {"role", "content"} <= m.keys() for m in value):
        cleaned = tuple({k: v for k, v in m.items() if v is not None} for m in value)
        return _single(cleaned) if name == "completion" else cleaned
    raise HoneError(f'the column "{name}" is neither text nor messages', got=repr(value)[:80])


def _source(row: Mapping[str, Any], prefix: str) -> tuple[str, str]:
    return tuple(str(row.get(f"{prefix}{name}") or "") for name in ("model", "checkpoint"))  # type: ignore[return-value]


def _flag(row: Mapping[str, Any], name: str) -> bool:
    value = row[name]
    if value in (0, 1):  # also False and True
        return bool(value)
    raise HoneError(f'the column "{name}" is neither true nor false', got=repr(value)[:80])


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row[name]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise HoneError(f'the column "{name}" is not a number', got=repr(value)[:80])
