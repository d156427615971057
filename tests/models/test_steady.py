"""Rows are only as long as the beginning of a row does not depend on what follows."""

from typing import Any

import pytest
import torch
import transformers

from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.engines.base import Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.models.score import score
from hone.models.steady import steady_length

LIMIT = 24
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
LONG: dict[str, Any] = {
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
        "original_max_position_embeddings": LIMIT,
    },
    "original_max_position_embeddings": LIMIT,
    "max_position_embeddings": 256,
}
DYNAMIC: dict[str, Any] = {
    "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0},
    "max_position_embeddings": LIMIT,
}
KINDS = {
    "longrope": ("Phi3", LONG),
    "dynamic": ("Llama", DYNAMIC),
    "keys": ("Doge", {"keep_window_size": LIMIT, "sliding_window": None, "max_position_embeddings": 256}),
}


def made(kind: str) -> Any:
    name, more = KINDS[kind]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZES, **more)
    return getattr(transformers, f"{name}ForCausalLM")(config).eval()


def batch(*rows: list[int]) -> Batch:
    width, count = max(map(len, rows)), len(rows)
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.arange(width)[None] < torch.tensor([len(row) for row in rows])[:, None]
    zeros, index = torch.zeros(count, width), torch.arange(count)
    return Batch(
        tokens=tokens,
        mask=mask,
        sampled=mask,
        train=mask,
        turn=zeros.long(),
        reward=zeros,
        behaviour_logprob=zeros,
        episode=index,
        step=torch.zeros_like(index),
        group=index,
        terminated=torch.ones_like(index).bool(),
        bootstrap=torch.zeros(count),
    )


def row(length: int) -> list[int]:
    return [int(i) for i in torch.randint(3, 64, (length,), generator=torch.Generator().manual_seed(length))]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_up_to_the_limit_are_alike_in_company_and_longer_ones_are_refused(kind: str) -> None:
    model = made(kind)
    assert steady_length(model.config) == LIMIT
    with torch.no_grad():
        alone = score(model, batch(row(14)), layout="padded").logprob[0]
        for layout in ("padded", "auto"):
            both = score(model, batch(row(14), row(LIMIT)), layout=layout).logprob[0, :14]
            torch.testing.assert_close(both, alone, rtol=0, atol=2e-5)
        with pytest.raises(HoneError, match=f"at most {LIMIT}"):
            score(model, batch(row(14), row(LIMIT + 2)))  # the last token is never read, only scored


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sampled_has_the_probability_that_it_is_scored_with(kind: str) -> None:
    model = made(kind)
    engine = EmbeddedEngine(model, None, pad_id=0, end_ids=frozenset(), max_length=128)
    asked = [Request(i, tuple(row(n)), Sampling(max_tokens=60), i) for i, n in enumerate((6, 20))]
    for request, done in zip(asked, engine.generate(asked), strict=True):
        assert len(request.prompt) + len(done.tokens) == LIMIT
        with torch.no_grad():
            scored = score(model, batch([*request.prompt, *done.tokens])).logprob[0, len(request.prompt) :]
        torch.testing.assert_close(torch.tensor(done.logprobs), scored, rtol=0, atol=5e-5)


def test_other_models_have_no_limit() -> None:
    assert steady_length(transformers.LlamaConfig(**SIZES)) is None
