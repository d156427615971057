"""TRL's own DPO and KTO losses on given log-probabilities: its methods, unbound, on a stand-in for what they read."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("trl")

from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer


def _stand_in(**more: Any) -> Any:
    accelerator = SimpleNamespace(
        device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x, num_processes=1
    )
    return SimpleNamespace(
        accelerator=accelerator,
        model=SimpleNamespace(training=True),
        aux_loss_enabled=False,
        precompute_ref_logps=True,
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
        **more,
    )


def _outputs(logprob: Tensor) -> Any:
    zeros = torch.zeros_like(logprob)
    return SimpleNamespace(
        log_probs=logprob, entropy=zeros, mean_logits=zeros, is_top1=torch.zeros_like(logprob, dtype=torch.bool)
    )


def dpo_loss(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, mask: Tensor, beta: float, kind: str
) -> Tensor:
    """Of pairs; log-probs [P,T] of each side and one mask [2P,T], the chosen rows first."""
    trainer = _stand_in(
        ld_alpha=None,
        f_divergence_type="reverse_kl",
        loss_types=[kind],
        loss_weights=[1.0],
        beta=beta,
        label_smoothing=0.0,
        use_weighting=False,
    )
    logprob = torch.cat([chosen, rejected]) * mask
    padded = torch.cat([torch.zeros(len(mask), 1), mask.float()], 1).long()  # TRL's masks begin with the first token
    inputs = {
        "input_ids": padded,
        "attention_mask": torch.ones_like(padded),
        "completion_mask": padded,
        "ref_chosen_logps": (ref_chosen * mask[: len(chosen)]).sum(-1),
        "ref_rejected_logps": (ref_rejected * mask[len(chosen) :]).sum(-1),
    }
    loss = DPOTrainer._compute_loss(trainer, lambda **_: _outputs(logprob), inputs, False)
    assert isinstance(loss, Tensor)
    return loss


def kto_loss(
    logprob: Tensor,
    ref_logprob: Tensor,
    mask: Tensor,
    up: Tensor,
    apart_of_mismatched: Tensor,
    beta: float,
    desirable: float,
    undesirable: float,
) -> Tensor:
    """Of answers; log-probs [B,T]; ``apart_of_mismatched`` [B] is the log-ratio of the mismatched rows."""
    trainer = _stand_in(
        calculate_KL=True,
        loss_type="kto",
        beta=beta,
        desirable_weight=desirable,
        undesirable_weight=undesirable,
        _compute_kl_logps=lambda model, batch: apart_of_mismatched,
    )
    padded = torch.cat([torch.zeros(len(mask), 1), mask.float()], 1).long()
    inputs = {
        "input_ids": padded,
        "attention_mask": torch.ones_like(padded),
        "completion_mask": padded,
        "label": up,
        "ref_logps": (ref_logprob * mask).sum(-1),
        "ref_KL_logps": torch.zeros_like(apart_of_mismatched),
    }
    loss = KTOTrainer._compute_loss(trainer, lambda **_: _outputs(logprob * mask), inputs, False)
    assert isinstance(loss, Tensor)
    return loss
