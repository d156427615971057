"""Reward models: where the score is read, what is saved, what transformers makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from hone.core.errors import HoneError
from hone.data.rows import Row, pad_rows
from hone.models.config import Layout, LoraConfig, ModelConfig
from hone.models.reading import quiet
from hone.models.reward import HEAD, RewardModel
from hone.models.reward_files import load_reward, reward_of
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer

ARCHITECTURES = ("llama", "qwen2", "gpt2", "gpt_neox", "gemma2")
PROMPTS = ["ab=", "a", "a b=", "bb="]
ANSWERS = ["c", "ca", "cab a", "ccc"]


def tiny(architecture: str = "llama", seed: int = 0) -> Any:
    config = TinyConfig(architecture=architecture, width=32, layers=2, heads=2, max_length=24)
    return create_tiny(config, char_tokenizer("abc ="), seed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_are_those_of_transformers(architecture: str, tmp_path: Path) -> None:
    policy = tiny(architecture)
    model = reward_of(policy, seed=1)
    scores = model.scores(PROMPTS, ANSWERS)
    assert max(scores) - min(scores) > 0.1
    model.normalise(PROMPTS, ANSWERS)
    model.save(tmp_path / "reward")
    with quiet():
        theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")
    rows = [model.encode(p, a) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    width = max(map(len, rows))
    tokens = torch.tensor([row + [model.pad_id] * (width - len(row)) for row in rows])
    with torch.no_grad():
        logits = theirs(tokens, attention_mask=(tokens != model.pad_id).long()).logits[:, 0]
    assert logits.tolist() == pytest.approx(scores, abs=1e-5)
    assert model.rewards(PROMPTS, ANSWERS) == pytest.approx(
        (theirs.config.reward_gain * logits + theirs.config.reward_bias).tolist(), abs=1e-5
    )
    # A saved policy gets the same head as the one in memory, and a saved reward model comes back as it was.
    policy.save(tmp_path / "policy")
    assert load_reward(tmp_path / "policy", head_seed=1).scores(PROMPTS, ANSWERS) == pytest.approx(scores, abs=1e-5)
    again = load_reward(tmp_path / "reward")
    assert again.rewards(PROMPTS, ANSWERS) == pytest.approx(model.rewards(PROMPTS, ANSWERS), abs=1e-5)


@pytest.mark.parametrize("adapter", [None, LoraConfig(rank=2)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layouts_change_neither_scores_nor_their_gradient(
    architecture: str, adapter: LoraConfig | None, tmp_path: Path
) -> None:
    tiny(architecture).save(tmp_path / "policy")
    model = load_reward(ModelConfig(str(tmp_path / "policy"), lora=adapter), head_seed=1)
    rows = [model.encode(p, a) for p in ("ab=", "a b=") for a in ANSWERS]  # four answers share a beginning
    batch = pad_rows([Row(tuple(row), (False,) * len(row)) for row in rows], model.pad_id)
    layouts: tuple[Layout, ...] = ("padded", "packed", "tree", "auto")
    found: dict[str, list[torch.Tensor]] = {}
    for layout in layouts:
        for _, p in model.trainable():
            p.grad = None
        score_B = model.score(batch, layout=layout).need("row_score")
        torch.autograd.backward(score_B.square().sum())
        found[layout] = [score_B, *(p.grad.clone() for _, p in model.trainable() if p.grad is not None)]
    assert float(found["padded"][0].detach().std()) > 0.01
    assert any(bool(grad.any()) for grad in found["padded"][1:])
    for layout in layouts[1:]:
        assert len(found[layout]) == len(found["padded"])
        for got, want in zip(found[layout], found["padded"], strict=True):
            torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    assert model.skips_padding("tree") and not model.skips_padding("padded")


def test_the_score_is_the_head_on_the_end_token_after_the_answer() -> None:
    model = reward_of(tiny(), seed=0)
    row = model.encode("ab=", "ca")
    assert row[-1] == model.tokenizer.eos_token_id != model.pad_id
    with torch.no_grad():
        hidden = model.model.model(torch.tensor([row])).last_hidden_state[0, -1]
        expected = float(hidden @ model.head.weight[0])
    assert model.scores(["ab="], ["ca"])[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_neighbours_and_padding_change_nothing(architecture: str) -> None:
    model = reward_of(tiny(architecture), seed=0)
    together = model.scores(PROMPTS, ANSWERS)
    alone = [model.scores([p], [a])[0] for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert model.scores(PROMPTS, ANSWERS, batch_tokens=1) == pytest.approx(alone, abs=1e-5)
    row = model.encode("a b=", "ccc")
    for junk in (model.pad_id, 5):  # what stands in the padding is never looked at
        tokens = torch.tensor([row + [junk] * 4])
        mask = torch.tensor([[True] * len(row) + [False] * 4])
        assert model._score(tokens, mask).tolist()[0] == pytest.approx(model.scores(["a b="], ["ccc"])[0], abs=1e-5)


def test_the_heads_first_weights_have_the_right_spread() -> None:
    wide = create_tiny(TinyConfig(width=512, layers=1, heads=2, max_length=24), char_tokenizer("ab"), 0)
    weight = reward_of(wide, seed=3).head.weight
    assert weight.std().item() == pytest.approx(513**-0.5, rel=0.1)
    assert torch.equal(weight, reward_of(wide, seed=3).head.weight)
    assert not torch.equal(weight, reward_of(wide, seed=4).head.weight)


def test_rewards_have_mean_0_and_deviation_1_where_they_were_normalised() -> None:
    model = reward_of(tiny(), seed=0)
    raw = model.scores(PROMPTS, ANSWERS)
    model.normalise(PROMPTS, ANSWERS)
    rewards = torch.tensor(model.rewards(PROMPTS, ANSWERS))
    assert float(rewards.mean()) == pytest.approx(0, abs=1e-5)
    assert float(rewards.std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert model.scores(PROMPTS, ANSWERS) == raw
    with pytest.raises(HoneError, match="so few answers"):
        model.normalise(PROMPTS[:1], ANSWERS[:1])


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_an_adapter_is_saved_read_and_merged(architecture: str, tmp_path: Path) -> None:
    reward_of(tiny(architecture), seed=0).save(tmp_path / "base")
    model = load_reward(ModelConfig(str(tmp_path / "base"), lora=LoraConfig(rank=2)))
    names = [name for name, _ in model.trainable()]
    assert all("lora_" in name or name.endswith("score.weight") for name in names)
    assert not any("score.lora" in name for name in names)
    assert model.scores(PROMPTS, ANSWERS) == pytest.approx(load_reward(tmp_path / "base").scores(PROMPTS, ANSWERS))
    with torch.no_grad():
        for _, parameter in model.trainable():
            parameter.add_(0.05)
    scores = model.scores(PROMPTS, ANSWERS)
    model.save(tmp_path / "adapter")
    assert load_reward(tmp_path / "adapter").scores(PROMPTS, ANSWERS) == pytest.approx(scores, abs=1e-5)
    fresh = load_reward(ModelConfig(str(tmp_path / "base"), lora=LoraConfig(rank=2)))
    fresh.restore(tmp_path / "adapter")
    ours, theirs = dict(model.trainable()), dict(fresh.trainable())
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    model.merge()
    model.save(tmp_path / "merged")
    assert load_reward(tmp_path / "merged").scores(PROMPTS, ANSWERS) == pytest.approx(scores, abs=1e-4)


def test_conversations_and_long_rows() -> None:
    model = reward_of(tiny(), seed=0)
    talk = [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}, {"role": "user", "content": "a"}]
    one = model.encode(talk, "cc")
    assert one == model.encode(talk, [{"role": "assistant", "content": "cc"}])
    assert model.encode("", "cc") == model.renderer.answer("cc")
    several = [
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "a"},
    ]
    assert model.encode("ab", several)[-2:] == model.renderer.answer("a")
    # Of a row beyond the context the beginning is lost, not the answer.
    assert model.scores(["a" * 40 + "b" * 20], ["ccc"]) == pytest.approx(model.scores(["b" * 20], ["ccc"]), abs=1e-5)


def broken(folder: Path, tmp_path: Path, name: str, **changes: Any) -> Path:
    copy = tmp_path / name
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **changes}))
    return copy


def test_each_fault_of_a_directory_is_named(tmp_path: Path) -> None:
    policy = tiny()
    policy.save(tmp_path / "policy")
    reward_of(policy, 0).save(tmp_path / "reward")
    with pytest.raises(HoneError, match=r"no reward head; at .*policy; got LlamaForCausalLM; do: .*hone reward"):
        load_reward(tmp_path / "policy")
    with pytest.raises(HoneError, match="no such model directory"):
        load_reward(str(tmp_path / "none"))
    two = broken(tmp_path / "reward", tmp_path, "two", id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1})
    with pytest.raises(HoneError, match=r"gives one number; .*got 2 labels"):
        load_reward(two)
    headless = broken(tmp_path / "reward", tmp_path, "headless")
    weights = load_file(headless / "model.safetensors")
    save_file(
        {n: w for n, w in weights.items() if n != f"{HEAD}.weight"}, headless / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(HoneError, match=r"weights are incomplete; .*score\.weight"):
        load_reward(headless)
    adapted = tiny()
    from hone.models.policy import load

    lora = load(ModelConfig(str(tmp_path / "policy"), lora=LoraConfig(rank=2)))
    lora.save(tmp_path / "adapter")
    with pytest.raises(HoneError, match="adapter is a policy's"):
        load_reward(tmp_path / "adapter", head_seed=0)
    with pytest.raises(HoneError, match="merge the adapter first"):
        reward_of(lora, 0)
    assert isinstance(reward_of(adapted, 0), RewardModel)


def test_an_architecture_without_a_scoring_model_is_refused(tmp_path: Path) -> None:
    from transformers import CodeGenConfig, CodeGenForCausalLM

    with quiet():
        CodeGenForCausalLM(
            CodeGenConfig(vocab_size=16, n_embd=16, n_layer=1, n_head=2, rotary_dim=4, n_positions=16)
        ).save_pretrained(tmp_path)
    char_tokenizer("ab").save_pretrained(tmp_path)
    with pytest.raises(HoneError, match=r"no scoring model of this architecture; got codegen"):
        load_reward(tmp_path, head_seed=0)
