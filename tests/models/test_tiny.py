import pytest
import torch
from policies import ALPHABET, ARCHITECTURES, tiny

from hone.core.errors import HoneError
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer

CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_depend_on_the_seed_alone(architecture: str) -> None:
    torch.manual_seed(1)
    one = tiny(architecture, seed=7)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    two, three = tiny(architecture, seed=7), tiny(architecture, seed=8)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())
    weights = [p.model.get_output_embeddings().weight for p in (one, two, three)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert type(one.model).__name__ == CLASSES[architecture]
    assert one.max_length == 32 and one.width == 16 and one.end_ids == {1} and one.pad_id == 0


def test_size_of_the_default_llama() -> None:
    # 3 blocks: 4·96² of attention, 3·96·256 of gated feed-forward, 2·96 of norms; a norm; two embeddings.
    policy = create_tiny(TinyConfig(), char_tokenizer(ALPHABET), 0)
    expected = 3 * (4 * 96**2 + 3 * 96 * 256 + 2 * 96) + 96 + 2 * 19 * 96
    assert sum(p.numel() for p in policy.model.parameters()) == expected
    assert float(policy.model.lm_head.weight.detach().std()) == pytest.approx(0.1, rel=0.05)


def test_tied_and_grouped() -> None:
    policy = create_tiny(TinyConfig(width=16, layers=1, kv_heads=2, tie=True), char_tokenizer(ALPHABET), 0)
    assert policy.model.lm_head.weight is policy.model.model.embed_tokens.weight
    assert policy.model.model.layers[0].self_attn.k_proj.weight.shape == (8, 16)


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(HoneError, match=r'"lama".*did you mean "llama"'):
        create_tiny(TinyConfig("lama"), char_tokenizer(ALPHABET), 0)
    with pytest.raises(HoneError, match="gpt2 has one key-value head per head"):
        create_tiny(TinyConfig("gpt2", kv_heads=2), char_tokenizer(ALPHABET), 0)
    with pytest.raises(ValueError, match="no multiple of heads"):
        TinyConfig(width=10)
