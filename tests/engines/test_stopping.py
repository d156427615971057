"""End tokens, stop texts and limits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from engine_models import VOCABULARY, prompts, tiny
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hone.engines.base import Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.engines.stopping import StopTexts


def byte_tokenizer() -> Any:
    """One token per byte, and a few longer ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate([*alphabet, "ab", "</", "</a", "Ġx"])}
    merges = [("a", "b"), ("<", "/"), ("</", "a"), ("Ġ", "x")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def stops_at(tokenizer: Any, text: str, stops: tuple[str, ...]) -> str | None:
    """What had been said when the stop was found."""
    ids, stop = tokenizer.encode(text, add_special_tokens=False), StopTexts(tokenizer, stops)
    for count in range(1, len(ids) + 1):
        if stop.found(ids[:count]):
            return str(tokenizer.decode(ids[:count]))
    return None


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("one</a>two</a>", ("</a>",), "one</a>"),  # the stop is two tokens, "</a" and ">"
        ("an ab x", ("b",), "an ab"),  # the end of a token
        ("zzabzz", ("a",), "zzab"),  # the beginning of a token: what follows in it is kept
        ("x" * 300 + "!" + "y", ("!",), "x" * 300 + "!"),
        ("größe\n\nnext", ("\n\n",), "größe\n\n"),
        ("語語é語 end", ("é語",), "語語é語"),  # characters of two and three bytes
        ("👍👍🏽", ("🏽",), "👍👍🏽"),
        ("both b and a", ("nd", "th"), "both"),
        ("nothing", ("xyz",), None),
        ("nothing", (), None),
        ("nothing", ("",), None),
    ],
)
def test_a_stop_text_is_found_at_the_token_that_completes_it(
    text: str, stops: tuple[str, ...], expected: str | None
) -> None:
    assert stops_at(byte_tokenizer(), text, stops) == expected


def test_the_tail_is_lengthened_past_tokens_that_decode_to_nothing() -> None:
    class Silent:
        def decode(self, ids: list[int], **_: object) -> str:
            return "".join({1: "S", 2: "T"}.get(i, "") for i in ids)

    assert StopTexts(Silent(), ("ST",)).found([1, *[0] * 50, 2])


class _Letters:
    """Token i is the i-th letter (tokens past the alphabet are spaces)."""

    def decode(self, ids: list[int], **_: object) -> str:
        return "".join(chr(97 + i) if i < 26 else " " for i in ids)


def sample(end: set[int], sampling: Sampling, count: int = 40, **options: Any) -> Any:
    engine = EmbeddedEngine(tiny("llama"), _Letters(), pad_id=0, end_ids=frozenset(end), slots=8, **options)
    requests = [Request(i, prompt, sampling, i) for i, prompt in enumerate(prompts(count, longest=8))]
    return zip(requests, engine.generate(requests), strict=True)


def test_the_end_token_is_kept_and_ends_the_completion() -> None:
    end = {1, 5, 9, 13, 17}
    reasons = set()
    for _, done in sample(end, Sampling(max_tokens=12)):
        reasons.add(done.stop)
        assert not end & set(done.tokens[:-1])
        assert (done.tokens[-1] in end) == (done.stop == "end")
        assert done.stop == "end" or len(done.tokens) == 12
    assert reasons == {"end", "length"}


def test_stop_texts_end_a_completion_and_their_tokens_are_kept() -> None:
    reasons = []
    for _, done in sample(set(), Sampling(max_tokens=30, stop=("e", "ka"))):
        text = _Letters().decode(list(done.tokens))
        reasons.append(done.stop)
        assert (done.stop == "stop") == (text[-1] == "e" or text.endswith("ka"))
        assert "e" not in text[:-1] and "ka" not in text[:-1]
    assert "stop" in reasons


def test_the_end_token_waits_for_min_tokens_and_logprobs_are_renormalised() -> None:
    end = set(range(1, VOCABULARY, 2))
    model = tiny("llama")
    for request, done in sample(end, Sampling(max_tokens=20, min_tokens=4)):
        assert len(done.tokens) >= 4 and not end & set(done.tokens[:3])
        with torch.no_grad():
            logit_TV = model(input_ids=torch.tensor([[*request.prompt, *done.tokens]])).logits[0]
        logit_TV = logit_TV[len(request.prompt) - 1 : -1]
        logit_TV[:4, sorted(end)] = -torch.inf
        expected = logit_TV.log_softmax(-1)[torch.arange(len(done.tokens)), torch.tensor(done.tokens)]
        assert done.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
    assert len({len(done.tokens) for _, done in sample(end, Sampling(max_tokens=20, min_tokens=4))}) > 1


def test_the_context_cuts_a_completion() -> None:
    for request, done in sample(set(), Sampling(max_tokens=30), max_length=15):
        assert len(request.prompt) + len(done.tokens) == 15
        assert done.stop == "length"


def test_the_context_is_the_models_where_none_is_given() -> None:
    for request, done in sample(set(), Sampling(max_tokens=500), count=2):
        assert len(request.prompt) + len(done.tokens) == 96
