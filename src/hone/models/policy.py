"""A policy: a causal language model, its tokenizer, perhaps a value head; loading and saving it."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hone.core.batch import Batch
from hone.core.errors import HoneError, nearest
from hone.models.adapters import apply_lora, load_lora, merge_lora, save_lora
from hone.models.checkpointing import checkpoint_activations
from hone.models.config import Layout
from hone.models.config import LoraConfig as LoraConfig
from hone.models.config import ModelConfig as ModelConfig
from hone.models.config import ValueConfig as ValueConfig
from hone.models.critic import CRITIC_FILE, Critic
from hone.models.heads import ValueHead
from hone.models.layout import computes_flat
from hone.models.learner import copy_parameters
from hone.models.logits import inner
from hone.models.partial import freeze_lower
from hone.models.precision import compute_in
from hone.models.reading import adapter_base, locate, quiet, read_config, read_model, read_tokenizer
from hone.models.score import Scores, score
from hone.models.special import end_ids, ensure_pad
from hone.models.steady import shortened
from hone.models.teacher import teach


class Policy:
    """What acts and learns. Dropout is off and the model rests in evaluation mode.

    Args:
        model: a causal language model of transformers, or a peft model around one.
        tokenizer: its tokenizer; gets a padding token that is no end token.
        config: how it was loaded (for loading it again).
        base: where an adapter's base model lies; "" if it exists in memory only.

    Attributes:
        value_head: scalar head on the hidden states, None until one is added.
        critic: value model of its own, None unless :meth:`add_values` has made one.
        end_ids: ids that end a completion.
        pad_id: filler of padded rows; never an end id and never trained on.
    """

    def __init__(self, model: Any, tokenizer: Any, config: ModelConfig, base: str = "") -> None:
        self.model, self.tokenizer, self.config, self.base = model, tokenizer, config, base
        self.value_head: ValueHead | None = None
        self.critic: Critic | None = None
        self.end_ids = end_ids(inner(model), tokenizer)
        self.pad_id = ensure_pad(inner(model), tokenizer, self.end_ids)
        self._reference: Reference | None = None

    @property
    def device(self) -> torch.device:
        """Where the input embedding is."""
        found = inner(self.model).get_input_embeddings().weight.device
        assert isinstance(found, torch.device)
        return found

    @property
    def max_length(self) -> int:
        """Most positions of a context: the model's, or the tokenizer's where the model has no limit.

        No more than :func:`hone.models.steady.steady_length`.
        """
        config = inner(self.model).config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) or self.tokenizer.model_max_length
        return shortened(int(min(limit, 2**31 - 1)), config)

    @property
    def width(self) -> int:
        """Size of the hidden states."""
        return int(inner(self.model).config.get_text_config().hidden_size)

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters that are trained; values' names begin with ``value_head.`` or ``value_model.``."""
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                yield name, parameter
        if self.value_head is not None:
            for name, parameter in self.value_head.named_parameters():
                yield f"value_head.{name}", parameter
        if self.critic is not None:
            for name, parameter in self.critic.trainable():
                yield f"value_model.{name}", parameter

    def add_values(self) -> None:
        """Make what the configuration says values come from, if it is not there yet."""
        if self.config.value.model == "shared":
            self.add_value_head()
        elif self.critic is None:
            value = self.config.value
            self.critic = Critic.of_reward(value.path, self) if value.path else Critic.copy_of(self.model, value.hidden)
            if (folder := locate(self.config.path)) is not None and (folder / CRITIC_FILE).is_file():
                self.critic.read(folder)

    def add_value_head(self) -> ValueHead:
        """The value head; a new one (0 everywhere) if there was none."""
        if self.value_head is None:
            self.value_head = ValueHead.new(self.width, self.config.value.hidden).to(self.device)
        return self.value_head

    def score(
        self,
        batch: Batch,
        *,
        needs: frozenset[str] = frozenset(),
        temperature: float = 1.0,
        layout: Layout = "auto",
    ) -> Scores:
        """:func:`hone.models.score.score` of this policy; values by its value model if it has one."""
        if self.critic is None or "value" not in needs:
            return score(self, batch, needs=needs, temperature=temperature, layout=layout)
        value_BT, last_B = self.critic.values(batch, layout)
        scores = score(self, batch, needs=needs - {"value"}, temperature=temperature, layout=layout)
        return dataclasses.replace(scores, value=value_BT, last_value=last_B)

    def skips_padding(self, layout: Layout) -> bool:
        """Whether padding, and what rows begin with in common, cost nothing in that layout."""
        models = [self.model] if self.critic is None else [self.model, self.critic.body]
        return all(computes_flat(model, layout) for model in models)

    def restore(self, folder: Path) -> None:
        """Copy saved weights into this policy, parameter by parameter."""
        saved = load(dataclasses.replace(self.config, path=str(folder)))
        if self.critic is not None:
            saved.add_values()
        copy_parameters(saved, self)

    def save(self, path: str | Path) -> None:
        """Write a directory in Hugging Face layout (safetensors, tokenizer included) that :func:`load` reads.

        With LoRA it is a peft adapter directory; a base model that was never on disk lies in its ``base/``.
        The value head lies beside as ``value_head.safetensors``.
        """
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            if self.config.lora is not None:
                save_lora(self.model, folder, self.base)
            else:
                self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        if self.value_head is not None:
            self.value_head.save(folder)
        if self.critic is not None:
            self.critic.save(folder)

    def merge(self) -> None:
        """Add a LoRA adapter into the weights; the policy is then a plain model, all of it trainable, in float32."""
        if self.config.lora is not None:
            # First widen, then add: a sum in half precision would round the adapter away.
            self.model = merge_lora(self.model.float()).requires_grad_(True)
            self.config, self.base = dataclasses.replace(self.config, lora=None), ""

    def reference(self) -> Reference:
        """The policy as it is now, frozen: ask before the first update; later calls give the same object.

        A fresh LoRA adapter (B = 0) can simply be switched off, which takes no memory; otherwise it is a
        copy, which shares the weights that are frozen anyway.
        """
        if self._reference is None:
            fresh = self.config.lora is not None and all(
                not p.any() for name, p in self.model.named_parameters() if ".lora_B." in name
            )
            frozen: dict[int, Any] = {id(p): p for p in self.model.parameters() if not p.requires_grad}
            model = self.model if fresh else copy.deepcopy(self.model, frozen).requires_grad_(False)
            self._reference = Reference(model, switched_off=fresh)
        return self._reference


class Reference:
    """A frozen policy that only scores.

    Args:
        model: its model.
        switched_off: the model is the learner's own, to be used with its adapter switched off.
    """

    def __init__(self, model: Any, *, switched_off: bool) -> None:
        self.model, self.switched_off = model, switched_off

    def score(
        self,
        batch: Batch,
        *,
        needs: frozenset[str] = frozenset(),
        temperature: float = 1.0,
        layout: Layout = "auto",
    ) -> Scores:
        """:func:`hone.models.score.score` under the frozen policy, without gradient."""
        off = self.model.disable_adapter() if self.switched_off else contextlib.nullcontext()
        with torch.no_grad(), off:
            return score(self.model, batch, needs=needs - {"value"}, temperature=temperature, layout=layout)

    def skips_padding(self, layout: Layout) -> bool:
        """As the policy's own: see :meth:`Policy.skips_padding`."""
        return computes_flat(self.model, layout)

    def teach(self, batch: Batch, top_k: int, micro: Iterable[Tensor]) -> Batch:
        """:func:`hone.models.teacher.teach` by the frozen policy."""
        with self.model.disable_adapter() if self.switched_off else contextlib.nullcontext():
            return teach(self.model, batch, top_k, micro)


def load(path_or_config: str | Path | ModelConfig, **overrides: Any) -> Policy:
    """Load a policy.

    Args:
        path_or_config: a directory (of a model, an adapter, or a finished run), hub id or configuration.
        overrides: fields of :class:`ModelConfig`, for example ``dtype="bfloat16"``.

    Raises:
        HoneError: an unknown field; no such model; config, weights or tokenizer missing or damaged; not a
            causal language model; no such device; an adapter other than the LoRA asked for.
    """
    for name in overrides:
        if name not in (known := [f.name for f in dataclasses.fields(ModelConfig)]):
            raise HoneError("unknown option of load", got=f'"{name}"', expected=nearest(name, known))
    config = path_or_config if isinstance(path_or_config, ModelConfig) else ModelConfig(str(path_or_config))
    config = dataclasses.replace(config, **overrides)
    device = device_of(config.device)
    folder = locate(config.path)
    path = str(folder or config.path)
    source: dict[str, Any] = {"trust_remote_code": config.trust_remote_code, "revision": config.revision}
    base = adapter_base(path)
    own = source if base is None else {**source, "revision": None}
    model_config = read_config(base or path, **own)
    tokenizer = read_tokenizer(path, **source) if _has_tokenizer(path, base) else read_tokenizer(base or path, **own)
    dtype = dtype_of(config.dtype, device)
    adapted = base is not None or config.lora is not None
    model = read_model(base or path, model_config, dtype if adapted else torch.float32, **own)
    compute_in(model, dtype)
    # Before any adapter: growing the embedding of an adapted model is another matter.
    ensure_pad(model, tokenizer, end_ids(model, tokenizer))
    if config.gradient_checkpointing:
        checkpoint_activations(model)
    if base is not None:
        model, found = load_lora(model, Path(path))
        if config.lora is not None and (config.lora.rank, config.lora.alpha) != (found.rank, found.alpha):
            raise HoneError("the saved adapter is not the one asked for", where=path, got=str(found))
        config = dataclasses.replace(config, lora=config.lora or found)
    elif config.lora is not None:
        model = apply_lora(model, config.lora)
    elif config.last_layers or config.frozen_share:
        freeze_lower(model, last_layers=config.last_layers, frozen_share=config.frozen_share)
    # A base inside the adapter's directory goes wherever the adapter goes, as one that was never on disk.
    inside = base is not None and Path(path) in Path(base).parents
    policy = Policy(model.to(device), tokenizer, config, "" if inside else base or path)
    if folder is not None and (head := ValueHead.load(folder, policy.width)) is not None:
        policy.value_head = head.to(device)
    return policy


def _has_tokenizer(path: str, base: str | None) -> bool:
    """An adapter's directory may leave the tokenizer to its base; any other must have one."""
    return base is None or (Path(path) / "tokenizer.json").is_file()


def device_of(name: str) -> torch.device:
    """The device a configuration names.

    Raises:
        HoneError: there is none.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise HoneError("no such device", where="device", got=f'"{name}"', expected="auto, cpu, cuda") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HoneError("this machine has no such GPU", where="device", got=f'"{name}"', expected="auto or cpu")
    return device


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """The dtype a configuration names, for a device.

    Raises:
        HoneError: there is none.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    dtype = getattr(torch, name, None)
    if name not in ("float32", "bfloat16", "float16") or dtype is None:
        raise HoneError("no such dtype", got=f'"{name}"', expected="auto, float32, bfloat16, float16")
    assert isinstance(dtype, torch.dtype)
    return dtype
