"""Reward models: a scalar head on the hidden state of a row's last token, in place of the language-model head.

The model is the sequence classifier that transformers has for the architecture, with one label: so its directory
loads in ``AutoModelForSequenceClassification`` and gives the same scores. A score stands for itself only up to a
constant; ``gain`` and ``bias`` make it a reward of mean 0 and deviation 1 on some policy's answers.

Dimensions: B rows, T positions, D width of the hidden states.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.core.feedback import Text, messages
from hone.core.progress import Progress
from hone.functional.scalar_reward import gain_and_bias
from hone.models.adapters import merge_lora, save_lora
from hone.models.chat import Renderer
from hone.models.checkpointing import checkpointed
from hone.models.config import Layout, ModelConfig
from hone.models.layout import computes_flat, run_rows
from hone.models.learner import copy_parameters
from hone.models.logits import inner
from hone.models.precision import computing
from hone.models.reading import quiet
from hone.models.score import Scores
from hone.models.special import end_ids, ensure_pad
from hone.models.steady import shortened

HEAD = "score"
"""What transformers calls the head of a sequence classifier."""
HEAD_FILE = "reward_head.safetensors"
"""Where an adapter's directory keeps the head."""


class RewardModel:
    """What people would think of an answer, as a number.

    Args:
        model: a sequence classifier of transformers with one label, or a peft model around one.
        tokenizer: its tokenizer; gets a padding token that is no end token.
        config: how it was loaded.
        base: where an adapter's base lies; "" if it exists in memory only.

    Attributes:
        pad_id: filler of padded rows; never an end id.
    """

    def __init__(self, model: Any, tokenizer: Any, config: ModelConfig, base: str = "") -> None:
        self.model, self.tokenizer, self.config, self.base = model, tokenizer, config, base
        self.renderer = Renderer(tokenizer)
        self.pad_id = ensure_pad(inner(model), tokenizer, end_ids(inner(model), tokenizer))

    @property
    def device(self) -> torch.device:
        """Where the input embedding is."""
        found = inner(self.model).get_input_embeddings().weight.device
        assert isinstance(found, torch.device)
        return found

    @property
    def max_length(self) -> int:
        """Most positions of a row: the model's, or the tokenizer's where the model has no limit."""
        config = inner(self.model).config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) or self.tokenizer.model_max_length
        return shortened(int(min(limit, 2**31 - 1)), config)

    @property
    def gain(self) -> float:
        """Factor from score to reward."""
        return float(getattr(inner(self.model).config, "reward_gain", 1.0))

    @property
    def bias(self) -> float:
        """Offset from score to reward."""
        return float(getattr(inner(self.model).config, "reward_bias", 0.0))

    @property
    def head(self) -> nn.Linear:
        """The scalar head, without a bias."""
        found = getattr(inner(self.model), HEAD)
        assert isinstance(found, nn.Linear)
        return found

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters that are trained: all, or the adapter's and the head's."""
        return ((name, p) for name, p in self.model.named_parameters() if p.requires_grad)

    def score(
        self,
        batch: Batch,
        *,
        needs: frozenset[str] = frozenset(),
        temperature: float = 1.0,
        layout: Layout = "auto",
    ) -> Scores:
        """``row_score``: the head on the hidden state of each row's last real token. There are no log-probabilities."""
        scores = self._score(batch.tokens, batch.mask, layout)
        return Scores(torch.zeros(batch.tokens.shape, device=self.device), row_score=scores)

    def skips_padding(self, layout: Layout) -> bool:
        """Whether padding, and what answers to a prompt begin with in common, cost nothing in that layout."""
        return computes_flat(inner(self.model).base_model, layout)

    def encode(self, prompt: Text, answer: Text) -> list[int]:
        """The ids of a prompt and an answer to it, as a policy with this tokenizer would see them, and an end token.

        Args:
            prompt: text or messages.
            answer: text, an assistant's message, or messages that end with one.
        """
        if not isinstance(answer, str) and len(answer) > 1:
            return self.renderer.conversation([*messages(prompt, "user"), *answer])[0]
        text = answer if isinstance(answer, str) else str(answer[0]["content"])
        if isinstance(prompt, str):
            return (self.renderer.opening(prompt) if prompt else []) + self.renderer.answer(text)
        return self.renderer.opening("", prompt) + self.renderer.answer(text)

    def scores(
        self, prompts: Sequence[Text], answers: Sequence[Text], *, batch_tokens: int = 16384, title: str = ""
    ) -> list[float]:
        """Scores in the units of the loss (nats, where it was trained on pairs), one per answer.

        A row too long for the model loses its beginning.

        Args:
            prompts: one per answer.
            answers: what is judged.
            batch_tokens: most tokens, padding included, of one forward pass; memory, never the result.
            title: of a progress bar; "" shows none.
        """
        rows = [self.encode(p, a)[-self.max_length :] for p, a in zip(prompts, answers, strict=True)]
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        found = [0.0] * len(rows)
        with torch.no_grad(), Progress(title, len(rows)) if title else nullcontext() as bar:
            while order:
                fit = max(batch_tokens // len(rows[order[0]]), 1)
                part, order = order[:fit], order[fit:]
                tokens_BT, mask_BT = self._padded([rows[i] for i in part])
                for i, value in zip(part, self._score(tokens_BT, mask_BT).tolist(), strict=True):
                    found[i] = value
                if bar is not None:
                    bar.advance(by=len(part))
        return found

    def rewards(self, prompts: Sequence[Text], answers: Sequence[Text], *, batch_tokens: int = 16384) -> list[float]:
        """``gain · score + bias``, one per answer."""
        return [self.gain * s + self.bias for s in self.scores(prompts, answers, batch_tokens=batch_tokens)]

    def normalise(self, prompts: Sequence[Text], answers: Sequence[Text]) -> None:
        """Choose gain and bias so that the rewards of these answers have mean 0 and standard deviation 1.

        Raises:
            HoneError: fewer than two answers.
        """
        if len(answers) < 2:
            raise HoneError("a reward cannot be normalised on so few answers", got=str(len(answers)), expected="2")
        self.scale(*gain_and_bias(self.scores(prompts, answers, title="normalising")))

    def scale(self, gain: float, bias: float) -> None:
        """Choose gain and bias; 1 and 0 make a reward the score itself."""
        config = inner(self.model).config
        config.reward_gain, config.reward_bias = gain, bias

    def save(self, path: str | Path) -> None:
        """Write a directory that :func:`hone.models.reward_files.load_reward` reads (safetensors, tokenizer included).

        Without an adapter it loads in ``AutoModelForSequenceClassification`` as well; with one it is an adapter's
        directory, the head beside it, until :meth:`merge`.
        """
        from safetensors.torch import save_file

        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            if self.config.lora is None:
                self.model.save_pretrained(folder)
            else:
                save_lora(self.model, folder, self.base)
                save_file({"weight": self.head.weight.detach().cpu().contiguous()}, folder / HEAD_FILE)
            self.tokenizer.save_pretrained(folder)

    def merge(self) -> None:
        """Add a LoRA adapter into the weights."""
        if self.config.lora is not None:
            self.model = merge_lora(self.model.float()).requires_grad_(True)
            self.config, self.base = dataclasses.replace(self.config, lora=None), ""

    def restore(self, folder: Path) -> None:
        """Copy saved weights into this model, parameter by parameter."""
        from hone.models.reward_files import load_reward

        copy_parameters(load_reward(dataclasses.replace(self.config, path=str(folder))), self)

    def _score(self, tokens_BT: Tensor, mask_BT: Tensor, layout: Layout = "auto") -> Tensor:
        """[B] float32."""
        length_B = mask_BT.sum(-1).clamp(min=1)
        with computing(self.model), checkpointed(self.model):
            run, index_BT = run_rows(inner(self.model).base_model, tokens_BT, length_B, layout)
        hidden_BD = run.hidden.flatten(0, 1)[index_BT.gather(1, length_B[:, None] - 1).squeeze(1)]
        score_B: Tensor = (hidden_BD.float() @ self.head.weight.float().T).squeeze(-1)
        return score_B

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        length_B = torch.tensor([len(row) for row in rows])
        width = int(length_B.max())
        tokens_BT = torch.tensor([[*row, *[self.pad_id] * (width - len(row))] for row in rows])
        return tokens_BT.to(self.device), (torch.arange(width) < length_B[:, None]).to(self.device)


def new_head(model: Any, seed: int) -> None:
    """Draw the head's weights from N(0, 1/√(d+1)), a function of the seed and the width alone (Ziegler et al. 2019)."""
    weight = getattr(model, HEAD).weight
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        drawn = torch.randn(weight.shape, generator=random) / (weight.shape[1] + 1) ** 0.5
        weight.copy_(drawn)


def classifier_of(config: Any) -> Any:
    """A config with one label, and the head known to have no bias.

    Raises:
        HoneError: transformers has no scoring model of this architecture.
    """
    config.num_labels = 1
    if type(config) not in AutoModelForSequenceClassification._model_mapping:
        raise HoneError(
            "transformers has no scoring model of this architecture",
            got=config.model_type,
            expected="one with a ForSequenceClassification, such as llama, qwen2, gemma2, gpt2 or gpt_neox",
        )
    return config
