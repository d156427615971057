from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hone.core.errors import HoneError
from hone.models.tokenizer import bpe_tokenizer, byte_tokenizer, char_tokenizer

TEXT = "  12 + 3 =\t15\n\n<eos> a.b , don 't "
CORPUS = ["the cat sat on the mat", "the hat", "that cat"]
MAKERS: list[Callable[[], Any]] = [
    lambda: char_tokenizer([TEXT, "é"]),
    byte_tokenizer,
    lambda: bpe_tokenizer(CORPUS, 270),
]


def decoded(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


@pytest.mark.parametrize("make", MAKERS)
def test_round_trip_special_tokens_and_save(make: Callable[[], Any], tmp_path: Path) -> None:
    tokenizer = make()
    ids = tokenizer(TEXT)["input_ids"]
    special = [tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id]
    assert decoded(tokenizer, ids) == TEXT
    assert len(set(special)) == 3 and not set(special) & set(ids)
    assert decoded(tokenizer, [special[0], *ids, special[1]]) == TEXT
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXT)["input_ids"] == ids
    assert [again.pad_token_id, again.eos_token_id, again.unk_token_id] == special
    assert decoded(again, ids) == TEXT and len(again) == len(tokenizer)


def test_characters_have_ids_by_code_point_and_strangers_are_unknown() -> None:
    tokenizer = char_tokenizer("ba\n")
    assert len(tokenizer) == 6
    assert tokenizer("ab\nab")["input_ids"] == [4, 5, 3, 4, 5]
    assert tokenizer("axb")["input_ids"] == [4, tokenizer.unk_token_id, 5]
    assert char_tokenizer(["b", "\na"])("ab\n")["input_ids"] == [4, 5, 3]
    with pytest.raises(HoneError, match="at least one character"):
        char_tokenizer([])


BYTES = byte_tokenizer()


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=100, deadline=None)
def test_the_id_of_a_byte_is_its_value(text: str) -> None:
    ids = BYTES(text)["input_ids"]
    assert ids == list(text.encode())
    assert decoded(BYTES, ids) == text


def test_bpe_learns_merges_and_no_text_is_unknown() -> None:
    tokenizer = bpe_tokenizer(CORPUS, 262)
    assert len(tokenizer) == 262
    # Most frequent pairs: "at" 6 times, then "th" 4 ("the", "the", "the", "that"), then "the" 3.
    assert {tokenizer.decode([i]) for i in (259, 260)} == {"at", "th"}
    assert tokenizer.unk_token_id not in tokenizer("語 \x00\x7f")["input_ids"]
    with pytest.raises(HoneError, match="at least 259"):
        bpe_tokenizer(CORPUS, 100)
