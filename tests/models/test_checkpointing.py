"""Recomputing activations changes neither what is computed nor the random numbers of anybody else."""

from typing import Any

import pytest
import torch
import transformers
from policies import ragged

from hone.models.checkpointing import checkpoint_activations
from hone.models.critic import Critic
from hone.models.reading import no_dropout
from hone.models.score import score

SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.15,
}


def made(kind: str, **more: Any) -> Any:
    config = getattr(transformers, f"{kind}Config")(**SIZES, **more)
    torch.manual_seed(0)
    return getattr(transformers, f"{kind}ForCausalLM")(config).eval()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("Llama", {}),
        ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "router_jitter_noise": 0.1}),
        ("Phimoe", {"num_local_experts": 4, "num_experts_per_tok": 2, "router_jitter_noise": 0.1}),
    ],
)
def test_recomputing_switches_on_nothing_random(kind: str, more: dict[str, Any]) -> None:
    model, batch = made(kind, **more), ragged()
    plain = score(model, batch, layout="padded").logprob
    weights = list(model.parameters())
    wanted = torch.autograd.grad(plain.sum(), weights, allow_unused=True)
    checkpoint_activations(model)
    drawn = torch.get_rng_state()
    again = score(model, batch, layout="padded").logprob
    found = torch.autograd.grad(again.sum(), weights, allow_unused=True)
    assert torch.equal(torch.get_rng_state(), drawn)
    torch.testing.assert_close(again, plain, rtol=0, atol=1e-6)
    for got, want in zip(found, wanted, strict=True):
        assert (got is None) == (want is None)
        if got is not None:
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    assert not any(module.training for module in model.modules())


def test_a_read_config_has_neither_dropout_nor_jitter() -> None:
    config = transformers.MixtralConfig(**SIZES, router_jitter_noise=0.1, attention_dropout=0.2)
    no_dropout(config)
    assert (config.router_jitter_noise, config.attention_dropout) == (0.0, 0.0)


def test_the_layers_of_a_critic_are_recomputed_too() -> None:
    model, batch = made("Llama"), ragged()
    checkpoint_activations(model)
    critic = Critic.copy_of(model)
    torch.nn.init.normal_(critic.head.linear.weight, generator=torch.Generator().manual_seed(2))
    body: Any = critic.body
    with torch.no_grad():
        critic.values(batch)  # which layouts the body can be trusted with is tried at its first pass
    calls: list[int] = []
    body.layers[0].input_layernorm.register_forward_hook(lambda *_: calls.append(1))
    value_BT, last_B = critic.values(batch)
    forward = len(calls)
    (value_BT.sum() + last_B.sum()).backward()  # type: ignore[no-untyped-call]
    assert (forward, len(calls)) == (1, 2)
    assert not any(module.training for module in body.modules())
