"""Text → rows of tokens with the ones to learn from marked → :class:`~hone.core.batch.Batch`.

Nothing is searched for in a string: what a row's recipe names is encoded by itself, so the mask is known by
construction, and the prompt's ids are those a policy would be given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.core.records import Record
from hone.data.sources import layout

Prompt = str | Sequence[Mapping[str, Any]]
"""A text, or messages with a role and a content each."""


class Encoder(Protocol):
    """What rows need of a tokenizer; :class:`hone.models.chat.Renderer` is one."""

    @property
    def tokenizer(self) -> Any:
        """Of transformers."""

    def opening(self, observation: str, messages: Sequence[Mapping[str, Any]] | None = None) -> list[int]:
        """The ids a policy is given before its answer."""

    def answer(self, text: str) -> list[int]:
        """The ids of an answer with its end token."""

    def conversation(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[bool]]:
        """The ids of a conversation and which of them an assistant wrote."""


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens and which of them are learnt. The first token is never learnt: nothing precedes it.

    Attributes:
        tokens: ids.
        train: one mark per id.
        reward: what the row is worth to those who judged it; 0 where nobody did.
    """

    tokens: tuple[int, ...]
    train: tuple[bool, ...]
    reward: float = 0.0


Example = tuple[Row, ...]
"""Rows that are learnt from together: one row of text, or the answers to a prompt that people compared."""


def encode_rows(
    encoder: Encoder, records: Iterable[Record], max_length: int, *, train_prompt: bool = False
) -> list[Row]:
    """Encode records of any layout that can be learnt from (see :mod:`hone.data.sources`).

    Args:
        encoder: renders prompts and conversations as a rollout would.
        records: rows of text.
        max_length: most tokens of a row; a longer text is cut, a longer pair or conversation left out.
        train_prompt: learn the prompts of pairs too.

    Raises:
        HoneError: a record that is prompt only, of no known layout, or not text; names it (counted from 1).
    """
    rows: list[Row] = []
    for number, record in enumerate(records, start=1):
        try:
            rows += _encode(encoder, record, max_length, train_prompt)
        except HoneError as error:
            raise HoneError(
                error.what, where=f"record {number}", got=error.got, expected=error.expected, do=error.do
            ) from error
    return rows


def encode_text(encoder: Encoder, texts: Iterable[str], max_length: int) -> list[Row]:
    """Language modelling: all tokens of a text and the end token are learnt, each exactly once.

    A long text is cut into rows; each begins with the last token of the one before, as context.

    Raises:
        HoneError: the tokenizer has no end token.
    """
    end = encoder.tokenizer.eos_token_id
    if end is None:
        raise HoneError("the tokenizer has no end token, so texts could not end", do="set its eos_token")
    rows = []
    for text in texts:
        ids = list(encoder.tokenizer(text, add_special_tokens=True)["input_ids"])
        ids += [] if ids and ids[-1] == end else [end]
        for start in range(0, max(len(ids) - 1, 1), max_length - 1):
            cut = tuple(ids[start : start + max_length])
            rows.append(_row(cut, [True] * len(cut)))
    return rows


def encode_pairs(
    encoder: Encoder, pairs: Iterable[tuple[Prompt, Prompt]], max_length: int, *, train_prompt: bool = False
) -> list[Row]:
    """Prompts and completions, encoded apart: only the completion and its end token are learnt.

    Args:
        encoder: renders a prompt as a rollout would.
        pairs: prompt and completion, each text or messages (of a completion just one, the assistant's).
        max_length: most tokens of a row; a longer pair is left out.
        train_prompt: learn the prompt too.

    Raises:
        HoneError: a completion that is not one assistant message, or a tokenizer without end token.
    """
    rows = []
    for prompt, completion in pairs:
        context = encoder.opening(prompt) if isinstance(prompt, str) else encoder.opening("", prompt)
        answer = encoder.answer(_answer_text(completion))
        if len(context) + len(answer) <= max_length:
            rows.append(_row(context + answer, [train_prompt] * len(context) + [True] * len(answer)))
    return rows


def encode_conversations(
    encoder: Encoder, conversations: Iterable[Sequence[Mapping[str, Any]]], max_length: int
) -> list[Row]:
    """Conversations: each assistant message and its end token are learnt; too long a one is left out.

    Raises:
        HoneError: no assistant message, one that comes first, or a chat template that refuses the rest.
    """
    encoded = [encoder.conversation(messages) for messages in conversations]
    return [_row(ids, train) for ids, train in encoded if len(ids) <= max_length]


def encode_pieces(encoder: Encoder, records: Iterable[Sequence[tuple[str, bool]]], max_length: int) -> list[Row]:
    """Texts in order, each encoded by itself, without an end token: those that say so are learnt.

    The first is rendered as a rollout would open with it; too long a record is left out.
    """
    rows = []
    for pieces in records:
        ids: list[int] = []
        train: list[bool] = []
        for text, learnt in pieces:
            new = encoder.answer(text)[:-1] if ids else encoder.opening(text)
            ids += new
            train += [bool(learnt)] * len(new)
        if len(ids) <= max_length:
            rows.append(_row(ids, train))
    return rows


def pad_rows(rows: Sequence[Row], pad_id: int) -> Batch:
    """A batch of rows that nobody sampled: each its own episode and group, one finished turn."""
    return pad_examples([(row,) for row in rows], pad_id)


def pad_examples(examples: Sequence[Example], pad_id: int) -> Batch:
    """A batch of rows that nobody sampled: each its own episode, one finished turn; an example is a group.

    A row's reward stands on its last token.
    """
    rows = [row for example in examples for row in example]
    group = [number for number, example in enumerate(examples) for _ in example]
    count, width = len(rows), max((len(row.tokens) for row in rows), default=1)
    tokens = torch.full((count, width), pad_id, dtype=torch.int64)
    mask, train = torch.zeros((2, count, width), dtype=torch.bool)
    reward = torch.zeros((count, width))
    for i, row in enumerate(rows):
        length = len(row.tokens)
        tokens[i, :length] = torch.tensor(row.tokens)
        mask[i, :length] = True
        train[i, :length] = torch.tensor(row.train)
        reward[i, length - 1] = row.reward
    index = torch.arange(count)
    return Batch(
        tokens=tokens,
        mask=mask,
        sampled=torch.zeros_like(mask),
        train=train,
        turn=torch.zeros_like(tokens),
        reward=reward,
        behaviour_logprob=torch.zeros((count, width)),
        episode=index,
        step=torch.zeros_like(index),
        group=torch.tensor(group, dtype=torch.int64),
        terminated=torch.ones(count, dtype=torch.bool),
        bootstrap=torch.zeros(count),
    )


def _encode(encoder: Encoder, record: Record, max_length: int, train_prompt: bool) -> list[Row]:
    kind = layout(record)
    for name in ("text", "prompt", "completion", "messages", "pieces"):
        if name in record:
            _check_readable(name, record[name])
    if kind == "text":
        return encode_text(encoder, [record["text"]], max_length)
    if kind == "messages":
        return encode_conversations(encoder, [record["messages"]], max_length)
    if kind == "pieces":
        return encode_pieces(encoder, [record["pieces"]], max_length)
    if kind == "prompt-completion":
        pair = (record["prompt"], record["completion"])
        return encode_pairs(encoder, [pair], max_length, train_prompt=train_prompt)
    raise HoneError("a prompt alone is nothing to learn from", expected='a column "completion"')


def _row(tokens: Sequence[int], train: Sequence[bool]) -> Row:
    return Row(tuple(tokens), (False, *train[1:]))


def _answer_text(completion: Prompt) -> str:
    if isinstance(completion, str):
        return completion
    if len(completion) == 1 and completion[0]["role"] == "assistant":
        return str(completion[0]["content"])
    raise HoneError(
        "a completion is one assistant message",
        got=f"roles {', '.join(str(m['role']) for m in completion) or 'none'}",
        do='give longer dialogues as "messages"',
    )


def _check_readable(name: str, value: object) -> None:
    """A column holds text or messages of a role and a content each."""
    if isinstance(value, str):
        fine = name not in ("messages", "pieces")
    elif name == "pieces":
        pairs = value if isinstance(value, list) else [None]
        fine = bool(pairs) and all(
            isinstance(p, list | tuple) and len(p) == 2 and isinstance(p[0], str) and isinstance(p[1], bool)
            for p in pairs
        )
    else:
        messages = value if isinstance(value, list) and name != "text" else [None]
        fine = all(isinstance(m, Mapping) and {"role", "content"} <= m.keys() for m in messages)
    if fine:
        return
    raise HoneError(
        f'the column "{name}" is neither text nor messages',
        got=repr(value)[:80],
        expected='text, or [{"role": ..., "content": ...}, ...]'
        if name != "pieces"
        else "[[text, true or false], ...]",
    )
