"""What was measured on, and the peers' environment."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
CACHE = BENCHMARKS / ".cache"
PEER_VENV = BENCHMARKS / ".venv-trl"
PEER_PYTHON = PEER_VENV / "bin" / "python"
REQUIREMENTS = BENCHMARKS / "requirements-trl.txt"


def install_peers() -> None:
    """Make TRL's environment from its pinned requirements, unless it is there and they have not changed."""
    stamp = PEER_VENV / ".installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing TRL into {PEER_VENV.relative_to(ROOT)} (once)", file=sys.stderr)
    if not PEER_PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER_VENV)], check=True)
    install = [str(PEER_PYTHON), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(REQUIREMENTS)]
    subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
    stamp.write_text(wanted)


def facts(peers: bool = True) -> dict[str, Any]:
    """Machine, versions, commit, date; ``peers`` says whether others were measured too."""
    packages = ("torch", "transformers", "numpy")
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "peers": _peers() if peers else {},
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load": os.getloadavg()[0],
    }


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name and what it knows of half precision."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    found = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    special = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in found.get("flags", "").split()]
    return ", ".join([found.get("model name", platform.processor()), *special])


def _peers() -> dict[str, str]:
    lines = [line.partition("==") for line in REQUIREMENTS.read_text().splitlines()]
    return {name: version for name, _, version in lines if name in ("torch", "transformers", "trl")}


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
