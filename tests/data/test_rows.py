import itertools
from typing import Any

import pytest
import torch

from hone.core.errors import HoneError
from hone.data.rows import Row, encode_conversations, encode_pairs, encode_rows, encode_text, pad_rows
from hone.models.chat import Renderer
from hone.models.tokenizer import byte_tokenizer, char_tokenizer

PLAIN = Renderer(char_tokenizer("abc123=+"))
IDS = {c: i for i, c in enumerate("+123=abc", start=3)}
END = 1


def ids(text: str) -> tuple[int, ...]:
    return tuple(IDS[c] for c in text)


def chatml() -> Renderer:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|s|>", "<|e|>"]})
    tokenizer.split_special_tokens = False
    tokenizer.chat_template = (
        "{% for m in messages %}<|s|>{{ m.role }}:{{ m.content }}<|e|>{% endfor %}"
        "{% if add_generation_prompt %}<|s|>assistant:{% endif %}"
    )
    return Renderer(tokenizer)


def learnt(renderer: Renderer, row: Row) -> str:
    return str(renderer.tokenizer.decode([i for i, t in zip(row.tokens, row.train, strict=True) if t]))


def test_text_learns_every_token_but_the_first_and_the_end() -> None:
    assert encode_text(PLAIN, ["abc"], 10) == [Row((*ids("abc"), END), (False, True, True, True))]
    assert encode_text(PLAIN, [""], 10) == [Row((END,), (False,))]


@pytest.mark.parametrize("max_length", [2, 3, 4, 5, 9])
def test_a_long_text_is_cut_so_that_every_token_is_learnt_once(max_length: int) -> None:
    rows = encode_text(PLAIN, ["abc123=+"], max_length)
    assert all(2 <= len(row.tokens) <= max_length for row in rows)
    got = [i for row in rows for i, t in zip(row.tokens, row.train, strict=True) if t]
    assert got == [*ids("bc123=+"), END]
    assert all(a.tokens[-1] == b.tokens[0] for a, b in itertools.pairwise(rows))


def test_pairs_learn_the_completion_and_its_end() -> None:
    (row,) = encode_pairs(PLAIN, [("1+2=", "3")], 10)
    assert row == Row((*ids("1+2=3"), END), (False, False, False, False, True, True))
    assert list(row.tokens[:4]) == PLAIN.opening("1+2=")
    (whole,) = encode_pairs(PLAIN, [("1+2=", "3")], 10, train_prompt=True)
    assert whole == Row(row.tokens, (False, True, True, True, True, True))


def test_what_is_too_long_is_left_out() -> None:
    pairs = [("1=", "abc"), ("1=", "ab")]
    assert [row.tokens for row in encode_pairs(PLAIN, pairs, 5)] == [(*ids("1=ab"), END)]
    talks = [[{"role": "user", "content": p}, {"role": "assistant", "content": c}] for p, c in pairs]
    assert encode_conversations(PLAIN, talks, 5) == encode_pairs(PLAIN, pairs, 5)


def test_chat_layouts_learn_what_the_assistant_wrote() -> None:
    renderer = chatml()
    user, assistant = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}
    records: list[dict[str, Any]] = [
        {"messages": [user, assistant, user, assistant]},
        {"prompt": [user], "completion": [assistant]},
        {"prompt": "Hi", "completion": "Yo"},
        {"text": "Hi"},
    ]
    rows = encode_rows(renderer, records, 200)
    assert [learnt(renderer, row) for row in rows] == ["Yo<|e|>Yo<|e|>", "Yo<|e|>", "Yo<|e|>", "i<eos>"]
    assert rows[1] == rows[2]
    assert rows[0].tokens[: len(rows[1].tokens)] == rows[1].tokens
    whole = renderer.tokenizer.apply_chat_template(records[0]["messages"], tokenize=False)
    assert renderer.tokenizer.decode(rows[0].tokens) == whole


def test_faults_name_the_record() -> None:
    good: dict[str, Any] = {"prompt": "1", "completion": "2"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"text": None}, '"text" is neither'),
        ({"text": [{"role": "user", "content": "1"}]}, '"text" is neither'),
        ({"messages": [{"from": "human", "value": "1"}]}, '"messages" is neither'),
        ({"messages": "1"}, '"messages" is neither'),
        ({"prompt": "1", "completion": 2}, '"completion" is neither'),
        ({"prompt": "1"}, "prompt alone"),
        ({"question": "1"}, "columns: question"),
        ({"prompt": "1", "completion": [{"role": "user", "content": "2"}]}, "one assistant message"),
    ]
    for bad, words in cases:
        with pytest.raises(HoneError, match=rf"record 2.*{words}|{words}.*record 2"):
            encode_rows(PLAIN, [good, bad], 10)


def test_an_end_token_is_needed() -> None:
    tokenizer = char_tokenizer("ab")
    tokenizer.eos_token = None
    renderer = Renderer(tokenizer)
    with pytest.raises(HoneError, match="no end token"):
        encode_text(renderer, ["ab"], 10)
    with pytest.raises(HoneError, match="no end token"):
        encode_pairs(renderer, [("a", "b")], 10)


def test_pad_rows() -> None:
    batch = pad_rows([Row((5, 6, 1), (False, True, True)), Row((7,), (False,))], pad_id=0)
    assert batch.tokens.tolist() == [[5, 6, 1], [7, 0, 0]]
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.train.tolist() == [[False, True, True], [False, False, False]]
    assert not batch.sampled.any() and batch.terminated.all()
    assert batch.episode.tolist() == batch.group.tolist() == [0, 1]
    assert batch.tokens.dtype == torch.int64 and batch.rows(torch.tensor([1])).tokens.tolist() == [[7]]
