"""Say what this machine has, what hone can use, and what is missing.

usage: hone doctor
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "peft",
    "datasets",
    "gymnasium",
    "math-verify",
)
EXTRAS = {
    "vllm": "hone[gpu]",
    "liger-kernel": "hone[gpu]",
    "fastapi": "hone[ui]",
    "sqlalchemy": "hone[ui]",
    "psycopg": "hone[postgres]",
    "tensorboard": "run.tensorboard",
}


def run(argv: list[str]) -> None:
    """Print one line per fact; exit code 2 if something hone needs is missing."""
    from hone.core.errors import HoneError

    if "--help" in argv:
        print((__doc__ or "").strip())
        return
    if argv:
        raise HoneError("hone doctor takes no arguments", got=" ".join(argv))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"python        {platform.python_version()} ({sys.executable})")
    print(f"machine       {platform.system()} {platform.machine()}, {cores} cores, {_memory()}")
    print(f"disk here     {shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free")
    missing = [name for name in PACKAGES if not _line(name, "needed: pip install hone")]
    for name, extra in EXTRAS.items():
        _line(name, f"optional: {extra}")
    print(f"programs      {_programs()}")
    if "torch" not in missing:
        _torch()
    if missing:
        raise HoneError("packages are missing", got=", ".join(missing), do="pip install hone")
    print("all that hone needs is here; try: hone quickstart")


def _line(name: str, hint: str) -> bool:
    try:
        print(f"{name:<13} {importlib.metadata.version(name)}")
    except importlib.metadata.PackageNotFoundError:
        print(f"{name:<13} not installed ({hint})")
        return False
    return True


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB of memory"
    except (ValueError, OSError):
        return "memory unknown"


def _programs() -> str:
    """Whether what a model writes can be run (the grader ``code``)."""
    from hone.core.errors import HoneError
    from hone.envs.sandbox.bubblewrap import isolation

    try:
        found = isolation()
    except HoneError as error:
        return f"cannot be isolated: {error}"
    return f"of a model run isolated, {'each as a user of its own' if found.own_user else 'in user namespaces'}"


def _torch() -> None:
    import torch

    print(f"threads       torch uses {torch.get_num_threads()} of them")
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(i)
            print(f"gpu {i}         {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    else:
        print("gpu           none: hone runs on the CPU in float32")
