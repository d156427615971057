import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from policies import ALPHABET, ARCHITECTURES, ragged, tiny
from transformers import AutoModelForCausalLM

from hone.core.errors import HoneError
from hone.models import reading
from hone.models.heads import ValueHead
from hone.models.policy import LoraConfig, ModelConfig, Policy, load
from hone.models.score import score
from hone.models.special import end_ids, ensure_pad, grow
from hone.models.tokenizer import char_tokenizer


def logprob(policy: Policy) -> torch.Tensor:
    with torch.no_grad():
        return score(policy, ragged()).logprob


def nudge(policy: Policy) -> None:
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for _, p in policy.trainable():
            p.add_(0.05 * torch.randn(p.shape, generator=noise))


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2"])
def test_saved_and_loaded_policy_is_the_same(architecture: str, tmp_path: Path) -> None:
    policy = tiny(architecture)
    policy.add_value_head()
    nudge(policy)
    policy.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert torch.equal(logprob(again), logprob(policy))
    assert again.value_head is not None and policy.value_head is not None
    assert torch.equal(again.value_head.linear.weight, policy.value_head.linear.weight)
    assert (again.end_ids, again.pad_id, again.max_length) == (frozenset({1}), 0, 32)
    assert again.tokenizer("12=\n")["input_ids"] == policy.tokenizer("12=\n")["input_ids"]
    assert not list((tmp_path / "model").glob("*.bin"))
    with reading.quiet():
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.equal(plain.get_input_embeddings().weight, policy.model.get_input_embeddings().weight)


def test_trainable_names_the_value_head_last_and_everything_once() -> None:
    policy = tiny()
    before = dict(policy.trainable())
    policy.add_value_head()
    names = [name for name, _ in policy.trainable()]
    assert names == [*before, "value_head.linear.weight", "value_head.linear.bias"]
    assert sum(p.numel() for p in before.values()) == sum(p.numel() for p in policy.model.parameters())
    assert policy.add_value_head() is policy.value_head


def test_a_new_value_head_is_zero_and_draws_no_random_numbers() -> None:
    state = torch.get_rng_state()
    head = ValueHead(4)
    policy = tiny()
    torch.set_rng_state(state)
    policy.add_value_head()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(head(torch.randn(2, 3, 4)), torch.zeros(2, 3))


def test_reference_stays_while_the_policy_moves() -> None:
    policy = tiny()
    start = logprob(policy)
    reference = policy.reference()
    nudge(policy)
    assert torch.equal(reference.score(ragged()).logprob, start)
    assert not torch.allclose(logprob(policy), start)
    assert policy.reference() is reference
    assert not any(p.requires_grad for p in reference.model.parameters())


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_lora_starts_at_its_base_and_its_reference_is_the_base(architecture: str, tmp_path: Path) -> None:
    base = tiny(architecture)
    start = logprob(base)
    base.save(tmp_path / "base")
    state = torch.get_rng_state()
    policy = load(tmp_path / "base", lora=LoraConfig(rank=2, alpha=4.0))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(logprob(policy), start)
    assert all(".lora_" in name for name, _ in policy.trainable())
    reference = policy.reference()
    assert reference.model is policy.model
    nudge(policy)
    moved = logprob(policy)
    assert not torch.allclose(moved, start)
    assert torch.equal(reference.score(ragged()).logprob, start)
    assert torch.equal(logprob(policy), moved)

    policy.save(tmp_path / "adapter")
    again = load(tmp_path / "adapter")
    assert torch.equal(logprob(again), moved)
    assert again.config.lora is not None and (again.config.lora.rank, again.config.lora.alpha) == (2, 4.0)
    assert again.reference().model is not again.model
    nudge(again)
    assert torch.equal(again.reference().score(ragged()).logprob, moved)

    policy.merge()
    torch.testing.assert_close(logprob(policy), moved, rtol=0, atol=1e-5)
    policy.save(tmp_path / "merged")
    torch.testing.assert_close(logprob(load(tmp_path / "merged")), moved, rtol=0, atol=1e-5)


def test_same_lora_is_drawn_every_time(tmp_path: Path) -> None:
    tiny().save(tmp_path)
    one, two = (dict(load(tmp_path, lora=LoraConfig(rank=2)).trainable()) for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_lora_targets_and_a_wrong_one(tmp_path: Path) -> None:
    tiny().save(tmp_path)
    policy = load(tmp_path, lora=LoraConfig(rank=2, targets=("q_proj",)))
    assert {name.split(".lora_")[0].split(".")[-1] for name, _ in policy.trainable()} == {"q_proj"}
    with pytest.raises(HoneError, match=r"lora\.targets.*nowhere"):
        load(tmp_path, lora=LoraConfig(targets=("nowhere",)))


def test_an_adapter_on_a_base_that_was_never_saved_carries_it_along(tmp_path: Path) -> None:
    from hone.models.adapters import apply_lora

    made = tiny()
    config = dataclasses.replace(made.config, lora=LoraConfig(rank=2))
    policy = Policy(apply_lora(made.model, LoraConfig(rank=2)), made.tokenizer, config)
    nudge(policy)
    policy.save(tmp_path / "first")
    (tmp_path / "first").rename(tmp_path / "moved")
    again = load(tmp_path / "moved")
    again.save(tmp_path / "second")
    for folder in ("moved", "second"):
        assert torch.equal(logprob(load(tmp_path / folder)), logprob(policy))
    assert load(tmp_path / "second", lora=LoraConfig(rank=2)).config.lora == LoraConfig(rank=2)
    with pytest.raises(HoneError, match="not the one asked for"):
        load(tmp_path / "second", lora=LoraConfig(rank=3))


def test_dropout_is_off_whatever_the_config_says(tmp_path: Path) -> None:
    tiny("gpt2").save(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text()) | {"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5}
    file.write_text(json.dumps(config))
    policy = load(tmp_path)
    quiet = logprob(policy)
    policy.model.train()
    assert torch.equal(logprob(policy), quiet)


def test_options(tmp_path: Path) -> None:
    tiny().save(tmp_path)
    half = load(tmp_path, dtype="bfloat16", gradient_checkpointing=True)
    assert half.config.dtype == "bfloat16" and not half.model.training
    assert any(getattr(m, "gradient_checkpointing", False) for m in half.model.modules())
    assert logprob(half).dtype == torch.float32
    assert load(ModelConfig(str(tmp_path), device="cpu")).model.dtype == torch.float32
    with pytest.raises(HoneError, match=r'"dtypes".*did you mean "dtype"'):
        load(tmp_path, dtypes="float32")
    with pytest.raises(HoneError, match="no such dtype"):
        load(tmp_path, dtype="int8")
    with pytest.raises(HoneError, match="no such device"):
        load(tmp_path, device="toaster")
    with pytest.raises(HoneError, match="no such GPU"):
        load(tmp_path, device="cuda:99")


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_each_fault_of_a_directory_is_named(tmp_path: Path) -> None:
    def fresh(name: str) -> Path:
        tiny().save(tmp_path / name)
        return tmp_path / name

    def refuses(path: Path | str, words: str) -> None:
        with pytest.raises(HoneError, match=words):
            load(path)

    refuses(tmp_path / "nowhere", "no such model directory")
    refuses("./nowhere", "no such model directory")
    file = tmp_path / "file"
    file.write_text("")
    refuses(file, "not a file")

    bare = fresh("no-config")
    (bare / "config.json").unlink()
    refuses(bare, r"no config\.json")
    bare = fresh("no-tokenizer")
    (bare / "tokenizer.json").unlink()
    refuses(bare, "no tokenizer")
    bare = fresh("no-weights")
    (bare / "model.safetensors").unlink()
    refuses(bare, "no weights")
    (bare / "pytorch_model.bin").write_bytes(b"")
    refuses(bare, "pickle")
    cut = fresh("cut-weights")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:1000])
    refuses(cut, "model cannot be read")
    broken = fresh("broken-config")
    (broken / "config.json").write_text("{")
    refuses(broken, "model cannot be read")
    more = fresh("more-layers")
    edit(more / "config.json", num_hidden_layers=3)
    refuses(more, r"incomplete.*model\.layers\.2")
    strange = fresh("strange")
    edit(strange / "config.json", model_type="nobody-knows-me")
    refuses(strange, "nobody-knows-me")
    headless = fresh("headless")
    edit(headless / "config.json", architectures=["LlamaForSequenceClassification"])
    refuses(headless, "not a causal language model.*LlamaForSequenceClassification")
    value = fresh("value-head")
    (value / "value_head.safetensors").write_bytes(b"x")
    refuses(value, "value head cannot be read")


@pytest.mark.parametrize("kind", ["Bert", "T5"])
def test_encoders_are_refused(kind: str, tmp_path: Path) -> None:
    char_tokenizer(ALPHABET).save_pretrained(tmp_path)
    shape = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 19,
    }
    if kind == "Bert":
        transformers.BertForMaskedLM(transformers.BertConfig(**shape)).save_pretrained(tmp_path)
    else:
        config = transformers.T5Config(vocab_size=19, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
        transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(HoneError, match=f"not a causal language model.*{kind}"):
        load(tmp_path)


def test_a_hub_id_that_cannot_be_had_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", offline)
    with pytest.raises(HoneError, match=r"neither a directory nor .*hub.*nobody/nothing.*couldn't connect"):
        load("nobody/nothing")


def test_adapter_faults(tmp_path: Path) -> None:
    tiny().save(tmp_path / "base")
    policy = load(tmp_path / "base", lora=LoraConfig(rank=2))
    for name in ("cut", "other", "nameless", "gone"):
        policy.save(tmp_path / name)
    (tmp_path / "cut/adapter_model.safetensors").write_bytes(b"x")
    edit(tmp_path / "other/adapter_config.json", peft_type="IA3")
    edit(tmp_path / "nameless/adapter_config.json", base_model_name_or_path=None)
    edit(tmp_path / "gone/adapter_config.json", base_model_name_or_path=str(tmp_path / "lost"))
    for name, words in {
        "cut": "adapter cannot be read",
        "other": "not a LoRA.*IA3",
        "nameless": "names no base",
        "gone": "no such model directory",
    }.items():
        with pytest.raises(HoneError, match=words):
            load(tmp_path / name)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pad_is_added_where_pad_is_the_end(architecture: str) -> None:
    policy = tiny(architecture)
    tokenizer = char_tokenizer(ALPHABET)
    tokenizer.pad_token, tokenizer.unk_token = tokenizer.eos_token, None
    tokenizer.add_special_tokens({"unk_token": "<eos>"})
    # <pad> is a special token still, and no text contains it: it is taken before a new one is made.
    model = policy.model
    pad = ensure_pad(model, tokenizer, frozenset({1}))
    assert pad == 0 and model.config.pad_token_id == 0 and tokenizer.pad_token == "<pad>"


def gpt2_like() -> Any:
    """A tokenizer whose one special token begins, ends, pads and is unknown, as GPT-2's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "a": 1, "b": 2}, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    one = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=one, eos_token=one, unk_token=one)


@pytest.mark.parametrize("tie", [False, True])
def test_a_new_pad_token_grows_the_embedding_without_becoming_likely(tie: bool, tmp_path: Path) -> None:
    config = transformers.GPT2Config(
        vocab_size=3, n_embd=8, n_layer=1, n_head=2, n_positions=8, tie_word_embeddings=tie,
        bos_token_id=0, eos_token_id=0, initializer_range=0.5,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).eval()
    ids = torch.tensor([[1, 2, 1]])
    before = torch.log_softmax(model(ids).logits, -1)
    policy = Policy(model, gpt2_like(), ModelConfig(""))
    assert (policy.pad_id, policy.end_ids) == (3, frozenset({0}))
    logits = policy.model(ids).logits
    assert logits.shape[-1] == 4
    torch.testing.assert_close(logits[..., 3], logits[..., :3].mean(-1))
    assert (torch.softmax(logits, -1)[..., 3] <= 1 / 4 + 1e-6).all()
    torch.testing.assert_close(torch.log_softmax(logits[..., :3], -1), before)
    assert policy.tokenizer("ab")["input_ids"] == [1, 2]
    policy.save(tmp_path)
    assert (load(tmp_path).pad_id, load(tmp_path).end_ids) == (3, frozenset({0}))


def test_spare_rows_are_used_before_the_embedding_grows() -> None:
    model = tiny(seed=1).model
    with torch.random.fork_rng():
        grow(model, 24)
    tokenizer = gpt2_like()
    assert ensure_pad(model, tokenizer, frozenset({0})) == 3
    assert model.get_input_embeddings().weight.shape[0] == 24


def test_end_ids_are_those_of_config_generation_config_and_tokenizer() -> None:
    policy = tiny()
    policy.model.config.eos_token_id = 5
    policy.model.generation_config.eos_token_id = [1, 6]
    assert end_ids(policy.model, policy.tokenizer) == {1, 5, 6}
