"""From observations to context tokens: by the chat template where the tokenizer has one, else as plain text.

What was sampled is never decoded and encoded again: after an action only the tokens that are new are
rendered, by asking the template what it puts between one assistant message and the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2.exceptions import TemplateError

from hone.core.errors import HoneError

Message = Mapping[str, Any]

_MARK = "hone.marks.this.answer"
"""Stands for an assistant's answer in dummy conversations; no template would write it itself."""

_REMEMBERED = 4096
"""Texts whose ids are remembered: environments say the same few things to many episodes."""


class Renderer:
    """Renders observations for one tokenizer.

    Args:
        tokenizer: of transformers, with or without a chat template.

    Attributes:
        chat: the tokenizer has a chat template.
        end_id: the token that ends an answer in data: the one the template writes after an assistant message,
            or the tokenizer's end token; None if there is neither.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.chat = bool(getattr(tokenizer, "chat_template", None))
        self.end_id: int | None = tokenizer.eos_token_id
        self._encoded: dict[str, list[int]] = {}
        if self.chat:
            special = {*tokenizer.all_special_ids, *_special_added(tokenizer)}
            after = self._after_answer([], prompt=False)
            self.end_id = next((i for i in after if i in special), self.end_id)

    def opening(self, observation: str, messages: Sequence[Message] | None = None) -> list[int]:
        """The context before the first action.

        Args:
            observation: the first observation; one user message for a chat tokenizer.
            messages: a conversation to use instead; a plain tokenizer joins its contents by blank lines.

        Raises:
            HoneError: the template refuses the messages, or nothing at all is to be rendered.
        """
        if self.chat:
            rendered = self._render(messages or [{"role": "user", "content": observation}], prompt=True)
            return self._encode(rendered)
        if messages:
            observation = "\n\n".join(str(m["content"]) for m in messages)
        ids = list(self.tokenizer(observation, add_special_tokens=True)["input_ids"])
        if ids and ids[-1] == self.tokenizer.eos_token_id:
            ids.pop()
        if not ids:
            raise HoneError(
                "the first observation is empty and the tokenizer has no token that begins a text",
                do="give the policy at least one token to answer",
            )
        return ids

    def following(
        self,
        observation: str,
        action_tokens: Sequence[int],
        ended: bool,
        messages: Sequence[Message] | None = None,
    ) -> list[int]:
        """Only the new tokens between an action and the next one.

        The end token of the action is left out if the policy sampled it and put in where it did not (a chat
        template's; plain text has none between turns).

        Args:
            observation: what the environment answered.
            action_tokens: the ids that were sampled.
            ended: the last of them is an end token.
            messages: what a chat template shows instead of the observation as one user message.
        """
        if not self.chat:
            return self._encode(observation)
        sampled_end = action_tokens[-1] if ended and action_tokens else None
        return self.between(messages or [{"role": "user", "content": observation}], sampled_end)

    def between(self, messages: Sequence[Message], sampled_end: int | None = None) -> list[int]:
        """The tokens a chat template puts between two answers with ``messages`` between them.

        Args:
            messages: of the user, a tool, the system; none of the assistant.
            sampled_end: the answer's last token, if it is an end token that must not come twice.
        """
        ids = self._after_answer(messages, prompt=True)
        if sampled_end is not None and sampled_end in ids:
            cut = ids.index(sampled_end)
            # Some templates put a blank before the end token: "answer </s>".
            if not self.tokenizer.decode(ids[:cut]).strip():
                return ids[cut + 1 :]
        return ids

    def conversation(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """A whole conversation as the ids a rollout of it would have, and which of them an assistant wrote.

        Answers are encoded by themselves, with the end token, after the context that a policy would have
        seen; what follows the last answer is left out.

        Raises:
            HoneError: no assistant message, one that comes first, or a template that refuses the rest.
        """
        if not any(m["role"] == "assistant" for m in messages) or messages[0]["role"] == "assistant":
            raise HoneError(
                "a conversation to learn from needs an assistant message, and a message before it",
                got=f"roles {', '.join(str(m['role']) for m in messages)}",
            )
        ids: list[int] = []
        train: list[bool] = []
        pending: list[Message] = []
        for message in messages:
            if message["role"] != "assistant":
                pending.append(message)
                continue
            answer = self.answer(str(message["content"]))
            if not ids:
                new = self.opening("", pending)
            elif self.chat:
                new = self.between(pending, self.end_id)
            else:
                new = self._encode("\n\n".join(str(m["content"]) for m in pending))
            ids += new + answer
            train += [False] * len(new) + [True] * len(answer)
            pending = []
        return ids, train

    def answer(self, text: str) -> list[int]:
        """An answer as the policy would have written it: its ids and the end token.

        Raises:
            HoneError: the tokenizer has no end token, so an answer could not end.
        """
        if self.end_id is None:
            raise HoneError("the tokenizer has no end token, so answers could not end", do="set its eos_token")
        return [*self._encode(text), self.end_id]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens without special tokens; blanks stay as they are."""
        text = self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def _encode(self, text: str) -> list[int]:
        if text not in self._encoded:
            if len(self._encoded) >= _REMEMBERED:
                self._encoded.clear()
            self._encoded[text] = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return list(self._encoded[text])

    def _after_answer(self, messages: Sequence[Message], *, prompt: bool) -> list[int]:
        """Ids of what the template writes after an assistant message that ``messages`` follow."""
        dialogue = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _MARK}, *messages]
        text = self._render(dialogue, prompt=prompt)
        start = text.rfind(_MARK) + len(_MARK)
        if start < len(_MARK):
            raise HoneError("the chat template leaves earlier answers out, so turns cannot follow each other")
        if not self.tokenizer.is_fast:
            return self._encode(text[start:])
        # The ids inside the whole text, not of the fragment alone: some tokenizers put a blank before a
        # fragment.
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans = list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
        if any(first < start < last for _, (first, last) in spans):
            return self._encode(text[start:])
        return [i for i, (first, last) in spans if first >= start and last > start]

    def _render(self, messages: Sequence[Message], *, prompt: bool) -> str:
        """The template's text; system messages and neighbours of one role are merged if it refuses them."""
        given = [dict(m) for m in messages]
        try:
            return self._template(given, prompt)
        except TemplateError as first:
            merged = _merge(given)
            if merged == given:
                raise _refused(first) from first
        try:
            return self._template(merged, prompt)
        except TemplateError as second:
            raise _refused(second) from second

    def _template(self, messages: list[dict[str, Any]], prompt: bool) -> str:
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))


def _merge(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fold system messages into the next user message and join neighbours of one role."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        role = "user" if message["role"] == "system" else message["role"]
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] = f"{merged[-1]['content']}\n\n{message['content']}"
        else:
            merged.append({**message, "role": role})
    return merged


def _special_added(tokenizer: Any) -> list[int]:
    return [i for i, token in tokenizer.added_tokens_decoder.items() if token.special]


def _refused(error: TemplateError) -> HoneError:
    return HoneError("the chat template refuses these messages", got=str(error))
