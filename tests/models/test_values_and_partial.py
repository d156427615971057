"""A value model beside the policy, and training only the upper layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from policies import ragged, tiny

from hone.core.errors import HoneError
from hone.data.rows import encode_pairs, pad_rows
from hone.models.chat import Renderer
from hone.models.config import Layout
from hone.models.critic import Critic
from hone.models.policy import LoraConfig, ModelConfig, Policy, ValueConfig, load
from hone.models.reward_files import reward_of
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer
from hone.training.optimiser import make_optimiser
from hone.training.recipe import OptimiserConfig

NEEDS = frozenset({"value"})


def saved(folder: Path, architecture: str = "llama") -> str:
    tiny(architecture).save(folder)
    return str(folder)


def draw(critic: Critic) -> None:
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, p in critic.trainable():
            p.add_(0.1 * torch.randn(p.shape, generator=noise))


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("hidden", [0, 5])
def test_values_of_a_separate_model(architecture: str, hidden: int, tmp_path: Path) -> None:
    policy = load(saved(tmp_path / "m", architecture), value=ValueConfig("separate", hidden=hidden))
    policy.add_values()
    critic = policy.critic
    assert critic is not None and policy.value_head is None
    batch = ragged()
    first = policy.score(batch, needs=NEEDS)
    assert first.value is not None and not first.value.any()  # 0 everywhere at the start
    draw(critic)
    scores = policy.score(batch, needs=NEEDS)
    assert scores.value is not None and scores.last_value is not None
    for b in range(len(batch)):
        length = int(batch.mask[b].sum())
        with torch.no_grad():
            hidden_TD = critic.body(input_ids=batch.tokens[b : b + 1, :length]).last_hidden_state[0]
            expected = critic.head(hidden_TD)
        for t in range(batch.tokens.shape[1]):
            scored = t > 0 and t < length and bool((batch.train | batch.sampled)[b, t])
            assert float(scores.value[b, t].detach()) == pytest.approx(
                float(expected[t - 1]) if scored else 0.0, abs=1e-5
            )
        assert float(scores.last_value[b].detach()) == pytest.approx(float(expected[length - 1]), abs=1e-5)
    torch.testing.assert_close(scores.logprob, first.logprob)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "gpt_neox"])
def test_layouts_change_neither_a_value_model_s_values_nor_its_gradient(architecture: str, tmp_path: Path) -> None:
    policy = load(saved(tmp_path / "m", architecture), value=ValueConfig("separate"))
    policy.add_values()
    assert policy.critic is not None
    draw(policy.critic)
    batch = ragged((9, 4, 9, 1))
    batch.tokens[2, :6] = batch.tokens[0, :6]  # a beginning in common
    layouts: tuple[Layout, ...] = ("padded", "packed", "tree", "auto")
    found, widths = {}, {}
    weight = dict(policy.critic.trainable())["head.linear.weight"]
    embed: Any = policy.critic.body.get_input_embeddings()  # type: ignore[operator]
    for layout in layouts:
        seen: list[int] = []
        hook = embed.register_forward_hook(lambda _module, inputs, _out, seen=seen: seen.append(inputs[0].numel()))
        value_BT, last_B = policy.critic.values(batch, layout)
        hook.remove()
        for _, p in policy.critic.trainable():
            p.grad = None
        torch.autograd.backward(value_BT.square().sum() + last_B.square().sum())
        embedding = embed.weight.grad
        assert embedding is not None and weight.grad is not None
        found[layout], widths[layout] = (value_BT, last_B, embedding.clone(), weight.grad.clone()), seen[-1]
    for layout in layouts[1:]:
        for got, want in zip(found[layout], found["padded"], strict=True):
            torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    rows = [batch.tokens[b, : int(batch.mask[b].sum())].tolist() for b in range(len(batch))]
    beginnings = {tuple(row[: t + 1]) for row in rows for t in range(len(row))}
    assert (widths["padded"], widths["packed"], widths["tree"]) == (36, 23, len(beginnings))
    assert len(beginnings) <= 17
    assert policy.skips_padding("auto") and not policy.skips_padding("padded")


def test_neither_loss_reaches_the_other_s_weights(tmp_path: Path) -> None:
    policy = load(saved(tmp_path / "m"), value=ValueConfig("separate"))
    policy.add_values()
    assert policy.critic is not None
    draw(policy.critic)
    scores = policy.score(ragged(), needs=NEEDS)
    assert scores.value is not None
    torch.autograd.backward(scores.value.square().sum())
    assert all(p.grad is None for p in policy.model.parameters())
    assert all(p.grad is not None for name, p in policy.critic.trainable() if "norm" in name)
    names = [name for name, _ in policy.trainable()]
    assert len(names) == len(set(names))
    assert sum(name.startswith("value_model.") for name in names) == len(list(policy.critic.trainable()))


def test_a_value_model_is_saved_restored_and_continued(tmp_path: Path) -> None:
    path = saved(tmp_path / "m")
    policy = load(path, value=ValueConfig("separate", hidden=4))
    policy.add_values()
    assert policy.critic is not None
    draw(policy.critic)
    policy.save(tmp_path / "again")
    fresh = load(path, value=ValueConfig("separate", hidden=4))
    fresh.add_values()
    fresh.restore(tmp_path / "again")
    continued = load(tmp_path / "again", value=ValueConfig("separate", hidden=4))
    continued.add_values()
    for other in (fresh, continued):
        for (name, a), (_, b) in zip(policy.trainable(), other.trainable(), strict=True):
            assert torch.equal(a, b), name
    with pytest.raises(HoneError, match="value model cannot be read"):
        load(tmp_path / "again", value=ValueConfig("separate")).add_values()  # another head


def trained(policy: Policy) -> set[str]:
    return {name for name, _ in policy.trainable()}


@pytest.mark.parametrize(("options", "layer"), [({"last_layers": 1}, 1), ({"frozen_share": 0.6}, 1)])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox"])
def test_only_the_upper_layers_are_trained(
    architecture: str, options: dict[str, Any], layer: int, tmp_path: Path
) -> None:
    path = saved(tmp_path / "m", architecture)
    everything = trained(load(path))
    policy = load(path, **options)
    below = {
        name
        for name in everything
        if (any(part in name for part in ("embed", "wte", "wpe")) and "embed_out" not in name)
        or any(f"{stack}.{number}." in name for stack in ("layers", "h") for number in range(layer))
    }
    assert 0 < len(below) < len(everything)
    assert trained(policy) == everything - below
    # the frozen part is one with the reference's, the trained part is not
    reference = policy.reference()
    mine, its = dict(policy.model.named_parameters()), dict(reference.model.named_parameters())
    for name in everything:
        assert (mine[name].data_ptr() == its[name].data_ptr()) == (name in below), name
    policy.save(tmp_path / "again")
    assert trained(load(tmp_path / "again")) == everything


def test_a_tied_output_head_is_frozen_with_the_embedding(tmp_path: Path) -> None:
    path = saved(tmp_path / "m", "gpt2")
    policy = load(path, last_layers=1)
    tied = policy.model.get_output_embeddings().weight is policy.model.get_input_embeddings().weight
    assert policy.model.get_output_embeddings().weight.requires_grad != tied


def test_what_cannot_be_trained_in_part(tmp_path: Path) -> None:
    path = saved(tmp_path / "m")
    for options in ({"last_layers": 2}, {"last_layers": 9}, {"frozen_share": 0.2}):
        with pytest.raises(HoneError, match=r"freezes no layer, or all.*of 2 layers"):
            load(path, **options)
    with pytest.raises(ValueError, match="lora and last_layers each say what is trained"):
        ModelConfig(path, lora=LoraConfig(), last_layers=1)
    with pytest.raises(ValueError, match="frozen_share a share from 0 to below 1"):
        ModelConfig(path, frozen_share=1.0)
    with pytest.raises(ValueError, match=r"path has no effect unless model\.value\.model"):
        ValueConfig(path="x")
    with pytest.raises(ValueError, match=r"hidden is a width"):
        ValueConfig(hidden=-1)


def test_values_learn_at_a_rate_of_their_own(tmp_path: Path) -> None:
    policy = load(saved(tmp_path / "m"), value=ValueConfig("separate"))
    policy.add_values()
    optimiser = make_optimiser(list(policy.trainable()), OptimiserConfig(lr=1e-3, value_lr=5e-3, weight_decay=0.1))
    rate = {id(p): (g["scale"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}
    for name, p in policy.trainable():
        expected = 5.0 if name.startswith("value_model.") else 1.0
        assert rate[id(p)] == (pytest.approx(expected), 0.1 if p.dim() >= 2 else 0.0)
    assert len(rate) == len(list(policy.trainable()))


def test_a_value_model_that_starts_as_the_reward_model(tmp_path: Path) -> None:
    path = saved(tmp_path / "m")
    reward = reward_of(load(path), 3)
    config = reward.model.config
    config.reward_gain, config.reward_bias = 2.5, -0.75
    reward.save(tmp_path / "reward")
    policy = load(path, value=ValueConfig("separate", path=str(tmp_path / "reward")))
    policy.add_values()
    prompts, answers = ["1+2=", "12+5="], ["3", "17"]
    rows = encode_pairs(Renderer(policy.tokenizer), list(zip(prompts, answers, strict=True)), 32)
    with torch.no_grad():
        scores = policy.score(pad_rows(rows, policy.pad_id), needs=NEEDS)
    assert scores.last_value is not None
    assert scores.last_value.tolist() == pytest.approx(reward.rewards(prompts, answers), abs=1e-5)
    policy.save(tmp_path / "again")
    fresh = load(path, value=policy.config.value)
    fresh.add_values()
    fresh.restore(tmp_path / "again")
    for (name, a), (_, b) in zip(policy.trainable(), fresh.trainable(), strict=True):
        assert torch.equal(a, b), name


def test_a_reward_model_that_cannot_give_values(tmp_path: Path) -> None:
    path = saved(tmp_path / "m")
    with pytest.raises(HoneError, match="no reward head"):
        load(path, value=ValueConfig("separate", path=path)).add_values()
    other = create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=32), char_tokenizer(["xyz"]), 0)
    reward_of(other, 0).save(tmp_path / "other")
    with pytest.raises(HoneError, match="another tokenizer than the policy"):
        load(path, value=ValueConfig("separate", path=str(tmp_path / "other"))).add_values()
