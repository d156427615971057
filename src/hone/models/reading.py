"""Read models and tokenizers from disk or the hub, with one clear error for each thing that can be wrong."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from hone.core.errors import HoneError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
ADAPTER_FILE = "adapter_config.json"
RUN_FILE = "config.toml"


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and progress bars of the libraries inside this block."""
    log = transformers.utils.logging
    hub = logging.getLogger("huggingface_hub")  # tells of every attempt to reach it
    level, bars, hub_level = log.get_verbosity(), log.is_progress_bar_enabled(), hub.level
    log.set_verbosity_error()
    hub.setLevel(logging.ERROR)
    log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.set_verbosity(level)
        hub.setLevel(hub_level)
        if bars:
            log.enable_progress_bar()


def locate(path: str) -> Path | None:
    """The directory of the model that ``path`` names, or None where it can only be a hub id.

    A finished run's directory (it has a config.toml) stands for the ``model/`` inside it.

    Raises:
        HoneError: neither a directory nor of the form of a hub id; a run that has no model yet.
    """
    folder = Path(path).expanduser()
    if (folder / RUN_FILE).is_file() and not (folder / "config.json").is_file():
        if not (folder / "model").is_dir():
            raise HoneError(
                "this run is not finished, so it has no model yet",
                where=path,
                do=f"load a checkpoint: {folder}/checkpoints/step-N/model",
            )
        return folder / "model"
    if folder.is_dir():
        return folder
    if folder.exists():
        raise HoneError("a model is a directory, not a file", where=path)
    if not _HUB_ID.fullmatch(path):
        raise HoneError("no such model directory", where=path, expected="a directory or a hub id (owner/name)")
    return None


def read_config(path: str, *, trust_remote_code: bool, revision: str | None, scoring: bool = False) -> Any:
    """The config of a causal language model, its dropout set to 0.

    Args:
        path, trust_remote_code, revision: what to read.
        scoring: a decoder with a score in place of its language-model head is welcome too.

    Raises:
        HoneError: no directory, config or weights, not a causal language model, or nothing on the hub.
    """
    folder = locate(path)
    if folder is not None:
        _check_files(folder)
    with quiet(), _reading(path, folder, "model"):
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code, revision=revision)
    if not (scoring and scores(config)):
        _check_causal(config, path, trust_remote_code)
    no_dropout(config)
    return config


def read_model(
    path: str,
    config: Any,
    dtype: torch.dtype,
    *,
    trust_remote_code: bool,
    revision: str | None,
    kind: Any = AutoModelForCausalLM,
    made: tuple[str, ...] = (),
) -> Any:
    """The model of a config from :func:`read_config`, in evaluation mode, on the CPU.

    Args:
        path, config, dtype, trust_remote_code, revision: what to read, and in which dtype its weights are held.
        kind: the auto class of transformers that builds it.
        made: names of tensors that need not be there, since the caller makes them.

    Raises:
        HoneError: weights that are damaged or incomplete.
    """
    # What is missing is drawn at random: not from the caller's random numbers.
    with quiet(), _reading(path, locate(path), "model"), torch.random.fork_rng(devices=[]):
        attention = "eager" if getattr(config.get_text_config(), "attn_logit_softcapping", None) else None
        model, report = kind.from_pretrained(
            path,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            attn_implementation=attention,
            trust_remote_code=trust_remote_code,
            revision=revision,
        )
    if missing := sorted(set(report["missing_keys"]) - set(made)):
        raise HoneError(
            "the weights are incomplete",
            where=path,
            got=f"{len(missing)} tensors missing, such as {missing[0]}",
        )
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.eval()


def read_tokenizer(path: str, *, trust_remote_code: bool, revision: str | None) -> Any:
    """The tokenizer beside a model.

    Raises:
        HoneError: there is none, or it is damaged.
    """
    folder = locate(path)
    if folder is not None and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise HoneError(
            "the model directory has no tokenizer",
            where=path,
            expected=f"one of {', '.join(_TOKENIZER_FILES)}",
        )
    with quiet(), _reading(path, folder, "tokenizer"):
        if folder is not None and _is_generic(folder):
            return PreTrainedTokenizerFast.from_pretrained(folder)
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code, revision=revision)


def _is_generic(folder: Path) -> bool:
    """The tokenizer was saved as what its tokenizer.json says and no class of its own.

    AutoTokenizer would read it with the class that the architecture usually has, whose splitting of text may be another
    (that of Qwen 2 loses blanks that are tokens of their own).
    """
    written = folder / "tokenizer_config.json"
    if not written.is_file() or not (folder / "tokenizer.json").is_file():
        return False
    return bool(json.loads(written.read_text(encoding="utf-8")).get("tokenizer_class") == "TokenizersBackend")


def adapter_base(path: str) -> str | None:
    """The base model of a peft adapter directory (a relative one lies inside it); None if it is no adapter.

    Raises:
        HoneError: the adapter's config is damaged or names no base.
    """
    folder = locate(path)
    if folder is None or not (folder / ADAPTER_FILE).is_file():
        return None
    try:
        base = json.loads((folder / ADAPTER_FILE).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError) as error:
        raise HoneError("the adapter's config is damaged", where=str(folder / ADAPTER_FILE), got=str(error)) from error
    if not base:
        raise HoneError("the adapter names no base model", where=str(folder / ADAPTER_FILE))
    return str(folder / base) if (folder / base).is_dir() else str(base)


def no_dropout(config: Any) -> None:
    """Set every probability of dropout and every width of a router's jitter in a config (and inside it) to 0.

    Sampler and learner must agree, and two forward passes of one batch must be equal.
    """
    for name, value in list(vars(config).items()):
        if isinstance(value, transformers.PretrainedConfig):
            no_dropout(value)
        elif ("drop" in name or "jitter" in name) and isinstance(value, float):
            setattr(config, name, 0.0)


def scores(config: Any) -> bool:
    """Whether a config is that of a decoder that gives a text a score (a sequence classifier of transformers)."""
    named = list(getattr(config, "architectures", None) or [])
    known = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.get(config.model_type)
    return known in named and config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def _check_files(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise HoneError("the model directory has no config.json", where=str(folder))
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(p.name for p in folder.glob("*.bin"))
    raise HoneError(
        "the model directory has no weights",
        where=str(folder),
        got=f"{pickled[0]}, which is a pickle" if pickled else "",
        expected="*.safetensors",
        do="convert the weights to safetensors: loading a pickle can run code" if pickled else "",
    )


def _check_causal(config: Any, path: str, trust_remote_code: bool) -> None:
    if trust_remote_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {}):
        return
    named = list(getattr(config, "architectures", None) or [])
    known = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    fits = any(name in known for name in named) if named else config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if not fits or getattr(config, "is_encoder_decoder", False):
        raise HoneError(
            "this is not a causal language model",
            where=path,
            got=named[0] if named else config.model_type,
            expected="a decoder with a language-model head, such as LlamaForCausalLM",
        )


@contextmanager
def _reading(path: str, folder: Path | None, kind: str) -> Iterator[None]:
    """Turn what the library raises for files it cannot use into a HoneError."""
    try:
        yield
    except HoneError:
        raise
    except Exception as error:  # OSError, ValueError, KeyError, safetensors', JSON's, the hub's, the network's
        first = next(iter(str(error).strip().splitlines()), "")
        got = f"{type(error).__name__}: {first}"
        if folder is None:
            raise HoneError(
                f"neither a directory nor a {kind} that the hub gives out",
                where=path,
                got=got,
                do="check the name",
            ) from error
        raise HoneError(f"the {kind} cannot be read", where=path, got=got) from error
