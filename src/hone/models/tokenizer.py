"""Small tokenizers made on the spot, ordinary ones of transformers: characters, bytes, byte-pair encoding.

Each has its own padding, end and unknown token (ids 0, 1, 2 for characters and BPE; 256, 257, 258 for bytes).
Text never encodes to the padding or end token, even where it spells them.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from hone.core.errors import HoneError

PAD, END, UNKNOWN = "<pad>", "<eos>", "<unk>"
_SPECIAL = [PAD, END, UNKNOWN]


def char_tokenizer(texts: str | Iterable[str]) -> PreTrainedTokenizerFast:
    """One token per character (Unicode code point), for the characters that occur.

    Ids after the special ones follow the order of code points, so the same alphabet gives the same tokenizer.
    A character outside it encodes to the unknown token and is lost.

    Args:
        texts: the alphabet as one string, or texts that contain it.
    """
    alphabet = sorted(set().union(*map(set, [texts] if isinstance(texts, str) else texts)))
    if not alphabet:
        raise HoneError("a tokenizer needs at least one character")
    vocabulary = {token: i for i, token in enumerate([*_SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return _wrapped(tokenizer)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per UTF-8 byte; the id of a byte is its value. No text is unknown."""
    vocabulary = {char: byte for byte, char in enumerate(_byte_alphabet())}
    vocabulary |= {token: 256 + i for i, token in enumerate(_SPECIAL)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _wrapped(tokenizer)


def bpe_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level byte-pair encoding learnt from texts. No text is unknown.

    Args:
        texts: what to learn the merges from.
        vocab_size: number of tokens, at least 259 (bytes and special tokens); fewer come out of little text.

    Raises:
        HoneError: ``vocab_size`` leaves no room for the bytes.
    """
    if vocab_size < 256 + len(_SPECIAL):
        raise HoneError("the vocabulary is too small", got=str(vocab_size), expected=f"at least {256 + len(_SPECIAL)}")
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer)


def _wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )


def _byte_alphabet() -> list[str]:
    """The printable character that stands for each byte in byte-level BPE (GPT-2's scheme).

    Printable Latin-1 bytes stand for themselves; the others take the code points from 256 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]
