"""hone: reinforcement-learning post-training of language models.

``import hone`` is light: a name is imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hone.algorithms.a2c import A2C as A2C
    from hone.algorithms.awr import AWR as AWR
    from hone.algorithms.cispo import CISPO as CISPO
    from hone.algorithms.dapo import DAPO as DAPO
    from hone.algorithms.dpo import DPO as DPO
    from hone.algorithms.dr_grpo import DrGRPO as DrGRPO
    from hone.algorithms.grpo import GRPO as GRPO
    from hone.algorithms.gspo import GSPO as GSPO
    from hone.algorithms.kto import KTO as KTO
    from hone.algorithms.ppo import PPO as PPO
    from hone.algorithms.reinforce import REINFORCE as REINFORCE
    from hone.algorithms.rejection import Rejection as Rejection
    from hone.algorithms.rlft import RLFT as RLFT
    from hone.algorithms.rloo import RLOO as RLOO
    from hone.algorithms.rwr import RWR as RWR
    from hone.engines.base import Sampling as Sampling
    from hone.envs.tasks.addition import Addition as Addition
    from hone.envs.tasks.questions import Questions as Questions
    from hone.models.policy import load as load
    from hone.training.api import train as train

# Threads that wait for each other sleep instead of spinning: beside another busy process a spinning thread takes the
# core that the one it waits for needs. It is read when torch is imported, so it has no effect after that.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOME = {
    "A2C": "hone.algorithms.a2c",
    "AWR": "hone.algorithms.awr",
    "Addition": "hone.envs.tasks.addition",
    "CISPO": "hone.algorithms.cispo",
    "DAPO": "hone.algorithms.dapo",
    "DPO": "hone.algorithms.dpo",
    "DrGRPO": "hone.algorithms.dr_grpo",
    "GRPO": "hone.algorithms.grpo",
    "GSPO": "hone.algorithms.gspo",
    "KTO": "hone.algorithms.kto",
    "PPO": "hone.algorithms.ppo",
    "Questions": "hone.envs.tasks.questions",
    "REINFORCE": "hone.algorithms.reinforce",
    "RLFT": "hone.algorithms.rlft",
    "RLOO": "hone.algorithms.rloo",
    "RWR": "hone.algorithms.rwr",
    "Rejection": "hone.algorithms.rejection",
    "Sampling": "hone.engines.base",
    "load": "hone.models.policy",
    "train": "hone.training.api",
}

__all__ = [*_HOME]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hone' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
