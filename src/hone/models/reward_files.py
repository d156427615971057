"""Where reward models come from: a directory, a causal language model that gets a head, or a policy in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from hone.core.errors import HoneError
from hone.models.adapters import apply_lora, load_lora
from hone.models.checkpointing import checkpoint_activations
from hone.models.config import ModelConfig
from hone.models.logits import inner
from hone.models.policy import Policy, device_of, dtype_of
from hone.models.precision import compute_in
from hone.models.reading import adapter_base, locate, read_config, read_model, read_tokenizer, scores
from hone.models.reward import HEAD, HEAD_FILE, RewardModel, classifier_of, new_head
from hone.models.special import end_ids, ensure_pad


def load_reward(path_or_config: str | Path | ModelConfig, *, head_seed: int | None = None) -> RewardModel:
    """Load a reward model.

    Args:
        path_or_config: a directory (of a reward model, its adapter, or a finished run), hub id or configuration.
        head_seed: give a causal language model a new head, drawn by this seed; None takes only what has one.

    Raises:
        HoneError: no such model; a model without a head; more than one label; an architecture that transformers has
            no scoring model for; files missing or damaged.
    """
    config = path_or_config if isinstance(path_or_config, ModelConfig) else ModelConfig(str(path_or_config))
    device = device_of(config.device)
    path = str(locate(config.path) or config.path)
    source: dict[str, Any] = {"trust_remote_code": config.trust_remote_code, "revision": config.revision}
    base = adapter_base(path)
    own = source if base is None else {**source, "revision": None}
    model_config = read_config(base or path, **own, scoring=True)
    headed = scores(model_config) or (Path(path) / HEAD_FILE).is_file()
    if scores(model_config) and model_config.num_labels != 1:
        raise HoneError(
            "a reward model gives one number", where=path, got=f"{model_config.num_labels} labels", expected="1"
        )
    if not headed and head_seed is None:
        raise HoneError(
            "this model has no reward head",
            where=path,
            got=", ".join(getattr(model_config, "architectures", None) or [model_config.model_type]),
            do="train one from it: hone reward --model.path DIR",
        )
    if base is not None and not (Path(path) / HEAD_FILE).is_file():
        raise HoneError("this adapter is a policy's", where=path, do="start from its base, or merge it first")
    dtype = dtype_of(config.dtype, device)
    adapted = base is not None or config.lora is not None
    model = read_model(
        base or path,
        classifier_of(model_config),
        dtype if adapted else torch.float32,
        **own,
        kind=AutoModelForSequenceClassification,
        made=() if scores(model_config) else (f"{HEAD}.weight",),
    )
    _check_head(model, path)
    if not scores(model_config):
        new_head(model, head_seed or 0)
    tokenizer = read_tokenizer(path if (Path(path) / "tokenizer.json").is_file() or not base else base, **source)
    compute_in(model, dtype)
    # Before any adapter: growing the embedding of an adapted model is another matter.
    ensure_pad(model, tokenizer, end_ids(model, tokenizer))
    if config.gradient_checkpointing:
        checkpoint_activations(model)
    if base is not None:
        model, found = load_lora(model, Path(path))
        inner(model).score.weight.data = load_file(Path(path) / HEAD_FILE)["weight"]
        config = dataclasses.replace(config, lora=config.lora or found)
    elif config.lora is not None:
        model = apply_lora(model, config.lora, head=HEAD)
    if config.lora is not None:
        inner(model).score.float().requires_grad_(True)
    inside = base is not None and Path(path) in Path(base).parents
    return RewardModel(model.to(device), tokenizer, config, "" if inside else base or path)


def reward_of(policy: Policy, seed: int) -> RewardModel:
    """A reward model that begins with a copy of a policy's body and a new head.

    Raises:
        HoneError: the policy has an adapter, or transformers has no scoring model of its architecture.
    """
    if policy.config.lora is not None:
        raise HoneError("a policy with an adapter cannot become a reward model", do="merge the adapter first")
    config = classifier_of(type(policy.model.config).from_dict(policy.model.config.to_dict()))
    attention = "eager" if getattr(config.get_text_config(), "attn_logit_softcapping", None) else None
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForSequenceClassification.from_config(
            config, dtype=torch.float32, attn_implementation=attention
        )
    _check_head(model, config.model_type)
    prefix = model.base_model_prefix
    getattr(model, prefix).load_state_dict(getattr(policy.model, prefix).state_dict())
    new_head(model, seed)
    return RewardModel(model.to(policy.device).eval(), policy.tokenizer, dataclasses.replace(policy.config, path=""))


def _check_head(model: Any, where: str) -> None:
    head = getattr(model, HEAD, None)
    if not isinstance(head, nn.Linear) or head.bias is not None:
        raise HoneError(
            "transformers' scoring model of this architecture has another head than one linear layer without bias",
            where=where,
            got=type(model).__name__,
            expected="such as llama, qwen2, gemma2, gpt2 or gpt_neox",
        )
