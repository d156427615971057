"""TRL's own GRPO and RLOO on given tensors: its methods, unbound, on a stand-in that holds what they read.

No model runs: the per-token log-probabilities are given, so that values and gradients with respect to them
can be compared. Completions fill columns 1.. of a row, one prompt token each.
"""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("trl")

from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_trainer import RLOOTrainer


def _stand_in(
    logprob: Tensor, ref_logprob: Tensor | None, beta: float, samples: int, *, delta: float | None = None, **more: Any
) -> Any:
    accelerator = SimpleNamespace(
        device=torch.device("cpu"),
        process_index=0,
        num_processes=1,
        gather=lambda x: x,
        reduce=lambda x, reduction: x,
    )
    model = SimpleNamespace(training=True, is_gradient_checkpointing=False)
    reference = SimpleNamespace()

    def score(asked: Any, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, None]:
        found = ref_logprob if asked is reference else logprob
        assert found is not None
        return found, torch.zeros_like(logprob), None

    stand_in = SimpleNamespace(
        accelerator=accelerator,
        model=model,
        ref_model=reference,
        beta=beta,
        epsilon_low=0.2,
        epsilon_high=0.28,
        num_generations=samples,
        num_iterations=1,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        use_vllm=False,
        _entropy_bonus_enabled=False,
        current_gradient_accumulation_steps=1,
        max_completion_length=logprob.shape[1] + 3,
        normalize_advantages=False,
        reward_clip_range=None,
        multi_objective_aggregation="sum_then_normalize",
        mask_truncated_completions=False,
        environment_factories=None,
        environments=None,
        tools=None,
        pad_to_multiple_of=None,
        reward_func_names=["given"],
        reward_funcs=[None],
        reward_weights=torch.ones(1),
        log_multimodal=False,
        _tokenizer=SimpleNamespace(pad_token_id=0, batch_decode=lambda *a, **k: []),
        _metrics={"train": defaultdict(list)},
        _logs={"prompt": [], "completion": [], "rewards": defaultdict(list), "advantages": [], "extra": {}},
        _pending_extra_logs={},
        _pending_metrics={},
        args=SimpleNamespace(
            delta=delta,
            use_bias_correction_kl=False,
            steps_per_generation=1,
            gradient_accumulation_steps=1,
            gradient_checkpointing_kwargs=None,
            per_device_train_batch_size=None,
        ),
        _get_per_token_logps_and_entropies=score,
    )
    vars(stand_in).update(more)
    return stand_in


def _inputs(mask: Tensor) -> dict[str, Tensor]:
    one = torch.ones(len(mask), 1, dtype=torch.int64)
    return {
        "prompt_ids": one,
        "prompt_mask": one,
        "completion_ids": torch.ones_like(mask, dtype=torch.int64),
        "completion_mask": mask.long(),
        "num_items_in_batch": mask.sum(),
    }


def grpo_loss(
    logprob: Tensor,
    old_logprob: Tensor | None,
    ref_logprob: Tensor | None,
    advantage_B: Tensor,
    mask: Tensor,
    beta: float,
    loss_type: str,
    sampler_weight: Tensor | None = None,
    **settings: Any,
) -> Tensor:
    """TRL's GRPO loss; "dr_grpo" divides by the number of columns + 3.

    ``settings`` replace the trainer's: by default epsilon_low .2, epsilon_high .28, delta None, ...
    """
    if sampler_weight is not None:
        settings |= {"use_vllm": True, "vllm_importance_sampling_correction": True}
    trainer = _stand_in(logprob, ref_logprob, beta, 1, loss_type=loss_type, **settings)
    given = {
        "advantages": advantage_B,
        "old_per_token_logps": old_logprob,
        "ref_per_token_logps": ref_logprob,
        "importance_sampling_ratio": sampler_weight,
    }
    loss = GRPOTrainer._compute_loss(trainer, trainer.model, {**_inputs(mask), **given})
    assert isinstance(loss, Tensor)
    return loss


def rloo_loss(logprob: Tensor, old_logprob: Tensor, advantage_B: Tensor, mask: Tensor) -> Tensor:
    """TRL's RLOO loss with clips .2 and .28."""
    trainer = _stand_in(logprob, None, 0.0, 1)
    given = {"advantages": advantage_B, "old_logps": (old_logprob * mask).sum(-1)}
    loss = RLOOTrainer._compute_loss(trainer, trainer.model, {**_inputs(mask), **given})
    assert isinstance(loss, Tensor)
    return loss


def sampler_weights(
    old_logprob: Tensor, sampler_logprob: Tensor, mask: Tensor, mode: str, low: float | None, high: float | None
) -> Tensor:
    """TRL's correction of a sampler (vLLM) that draws by other log-probs: [B,T], or [B,1] for whole sequences."""
    settings = {
        "use_vllm": True,
        "vllm_importance_sampling_correction": True,
        "vllm_importance_sampling_mode": mode,
        "vllm_importance_sampling_clip_min": low,
        "vllm_importance_sampling_clip_max": high,
    }
    made = _generated(
        "grpo", torch.arange(float(len(mask))), 2, old_logprob, None, mask, "group", 0.0, sampler_logprob, settings
    )
    found = made["importance_sampling_ratio"]
    assert isinstance(found, Tensor)
    return found


def overlong_filter(mask: Tensor, cut: list[bool], reward_B: Tensor, samples: int) -> tuple[Tensor, Tensor, float]:
    """([B] advantages, [B,T] loss mask, number of tokens in the denominator) where cut completions are masked."""
    settings = {"mask_truncated_completions": True, "eos_token_ids": [2]}
    zeros = torch.zeros(mask.shape)
    ends = [1 if was_cut else 2 for was_cut in cut]
    made = _generated("grpo", reward_B, samples, zeros, None, mask, "group", 0.0, None, settings, ends)
    return made["advantages"], made["completion_mask"].bool(), float(made["num_items_in_batch"])


def soft_overlong(lengths: list[int], limit: int, cache: int) -> list[float]:
    """TRL's soft overlong punishment of completions of these lengths."""
    from trl.rewards import get_soft_overlong_punishment

    found: list[float] = get_soft_overlong_punishment(limit, cache)(completion_ids=[[1] * n for n in lengths])
    return found


def advantages(
    kind: str,
    reward_B: Tensor,
    samples: int,
    *,
    scale_rewards: str = "group",
    beta: float = 0.0,
    old_logprob: Tensor,
    ref_logprob: Tensor,
    mask: Tensor,
) -> Tensor:
    """[B] TRL's advantages of rewards (NaN: unscorable), rows group by group; kind "grpo" or "rloo"."""
    made = _generated(kind, reward_B, samples, old_logprob, ref_logprob, mask, scale_rewards, beta)
    found = made["advantages"]
    assert isinstance(found, Tensor)
    return found


def _generated(
    kind: str,
    reward_B: Tensor,
    samples: int,
    old_logprob: Tensor,
    ref_logprob: Tensor | None,
    mask: Tensor,
    scale_rewards: str,
    beta: float,
    sampler_logprob: Tensor | None = None,
    settings: dict[str, Any] | None = None,
    ends: list[int] | None = None,
) -> dict[str, Any]:
    """What TRL makes of generated completions before the loss."""
    trainer = _stand_in(old_logprob, ref_logprob, beta, samples, scale_rewards=scale_rewards, **settings or {})
    lengths = mask.sum(-1).tolist()
    answers = [[1] * (n - 1) + [end] for n, end in zip(lengths, ends or [1] * len(lengths), strict=True)]
    prompts = [[1]] * len(lengths)
    texts = [""] * len(lengths)
    drawn = None if sampler_logprob is None else [r[:n] for r, n in zip(sampler_logprob.tolist(), lengths, strict=True)]
    trainer._calculate_rewards = lambda *args: reward_B[:, None].clone()
    if kind == "rloo":
        trainer._generate = lambda prompts_: (prompts, answers, texts)
        made = RLOOTrainer._generate_and_score_completions(trainer, [{"prompt": ""}] * len(lengths))
    else:
        trainer._generate = lambda prompts_: (prompts, answers, None, texts, drawn, {}, None, None)
        made = GRPOTrainer._generate_and_score_completions(trainer, [{"prompt": ""}] * len(lengths))
    assert isinstance(made, dict)
    return made
