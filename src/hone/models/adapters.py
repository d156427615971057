"""LoRA through peft. peft is imported where it is used: it is slow to import and few runs need it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from hone.core.errors import HoneError
from hone.models.config import LoraConfig
from hone.models.reading import ADAPTER_FILE, quiet

BASE_FOLDER = "base"


def apply_lora(model: Any, config: LoraConfig, head: str | None = None) -> Any:
    """Freeze a model and put trainable low-rank adapters (float32) on its linear layers, in place.

    The same config gives the same random A; B is 0, so the model's outputs are unchanged.

    Args:
        model: of transformers.
        config: rank, scale and layers.
        head: name of a linear layer that gets no adapter.

    Raises:
        HoneError: a target that no layer of the model is called.
    """
    import peft

    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=list(config.targets) or "all-linear",
        lora_dropout=0.0,
        exclude_modules=[head] if head else None,
        bias="none",
        task_type=None if head else "CAUSAL_LM",
        fan_in_fan_out=any(isinstance(m, Conv1D) for m in model.modules()),
    )
    try:
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(0)
            return peft.get_peft_model(model, settings).eval()
    except ValueError as error:
        raise HoneError(
            "LoRA cannot be put on this model", where="lora.targets", got=str(error).splitlines()[0]
        ) from error


def load_lora(model: Any, folder: Path) -> tuple[Any, LoraConfig]:
    """Put the trainable adapter saved in a folder on its base model.

    Raises:
        HoneError: the adapter is of another kind, damaged, or does not fit the model.
    """
    import peft

    try:
        settings = json.loads((folder / ADAPTER_FILE).read_text(encoding="utf-8"))
        if settings.get("peft_type") != "LORA":
            raise HoneError(
                "the adapter is not a LoRA",
                where=str(folder),
                got=str(settings.get("peft_type")),
                expected="LORA",
            )
        if not (folder / "adapter_model.safetensors").is_file():
            raise HoneError("the adapter has no weights", where=str(folder), expected="adapter_model.safetensors")
        with quiet():
            loaded = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except HoneError:
        raise
    except Exception as error:  # peft, torch and safetensors each raise their own
        raise HoneError(
            "the adapter cannot be read", where=str(folder), got=f"{type(error).__name__}: {str(error)[:300]}"
        ) from error
    for module in loaded.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    targets = settings["target_modules"]
    named = () if targets == "all-linear" or isinstance(targets, str) else tuple(sorted(targets))
    return loaded.eval(), LoraConfig(settings["r"], float(settings["lora_alpha"]), named)


def save_lora(model: Any, folder: Path, base: str) -> None:
    """Write a peft adapter directory.

    Args:
        model: a peft model.
        folder: where to.
        base: directory or hub id of the base model; "" where it was never on disk, then it is written beside
            the adapter, in ``base/``.
    """
    if not base:
        whole = model.get_base_model()
        # The adapter's layers stand inside the base model: what is saved must carry the base's own names.
        state = {
            name.replace(".base_layer.", "."): value
            for name, value in whole.state_dict().items()
            if ".lora_" not in name
        }
        whole.save_pretrained(folder / BASE_FOLDER, state_dict=state)
    elif Path(base).expanduser().is_dir():
        base = str(Path(base).expanduser().resolve())
    model.peft_config["default"].base_model_name_or_path = base or BASE_FOLDER
    model.save_pretrained(str(folder), save_embedding_layers=False)


def merge_lora(model: Any) -> Any:
    """The base model with the adapter added into its weights, in place."""
    return model.merge_and_unload()
