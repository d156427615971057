"""Stop sequences: texts that end a completion as soon as its decoded tokens contain one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class StopTexts:
    """Looks for stop texts at the end of a growing list of tokens.

    Only a tail is decoded: enough tokens to spell the longest stop text, and more while they decode to too
    little (several tokens may make one character, and some make none). A stop text may begin and end in the
    middle of a token; the margin keeps a character cut in half by the start of the tail away from it.

    Args:
        tokenizer: anything with Hugging Face's ``decode``.
        texts: the stop texts; empty ones are refused by never matching.
    """

    margin = 4

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.texts = tuple(text for text in texts if text)
        self.characters = max((len(text) for text in self.texts), default=0) + self.margin
        self.tail = max((len(text.encode()) for text in self.texts), default=0) + self.margin

    def found(self, tokens: Sequence[int]) -> bool:
        """Whether the text of ``tokens`` contains a stop text that the text without the last token did not.

        Args:
            tokens: the completion so far; asked after every token.
        """
        if not self.texts:
            return False
        count = self.tail
        while True:
            text = self.tokenizer.decode(tokens[-count:], skip_special_tokens=False, clean_up_tokenization_spaces=False)
            if len(text) >= self.characters or count >= len(tokens):
                return any(stop in text for stop in self.texts)
            count *= 2
