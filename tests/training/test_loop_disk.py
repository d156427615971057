"""A full disk ends a run with the last good checkpoint whole; after freeing space it goes on to the same weights."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from toy import Echo, tiny_model

from hone import GRPO, train
from hone.cli.main import call
from hone.core.errors import HoneError
from hone.training import session
from hone.training.run import Run

SETTINGS: dict[str, Any] = {"prompts": 2, "samples": 2, "max_tokens": 3, "lr": 1e-3, "save_every": 2, "steps": 8}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that nothing disturbs."""
    return train(str(base), Echo(), GRPO(), out=str(tmp_path_factory.mktemp("whole") / "run"), **SETTINGS)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs a root user who is allowed to")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def check_stopped(run: Run, last: int) -> None:
    """The only checkpoint is of step ``last``; nothing half-written is left; the model was not published."""
    ((step, folder),) = run.checkpoints()
    assert step == last
    assert sorted(p.name for p in folder.parent.iterdir()) == [f"step-{last}"]
    with safe_open(folder / "optimiser.safetensors", "pt") as moments:
        assert len(list(moments.keys())) > 0
    assert not run.model.exists()


def check_same(run: Run, whole: Run) -> None:
    ours, theirs = load_file(run.model / "model.safetensors"), load_file(whole.model / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [row["step"] for row in run.metrics] == list(range(1, 9))
    assert [row["loss"] for row in run.metrics] == [row["loss"] for row in whole.metrics]


def test_a_disk_that_is_really_full(small_disk: Path, base: Path, whole: Run) -> None:
    out, ballast = small_disk / "run", small_disk / "ballast"
    recipe = small_disk / "recipe.toml"
    recipe.write_text(
        f'[model]\npath = "{base}"\n[task]\nname = "toy:Echo"\n[algorithm]\nname = "grpo"\n[sampling]\nmax_tokens = 3\n'
        f"[batch]\nprompts = 2\nsamples = 2\n[optimiser]\nlr = 1e-3\n"
        f'[run]\nout = "{out}"\nsteps = 8\nsave_every = 2\n'
    )
    checkpoint = sum(p.stat().st_size for p in (whole.path / "checkpoints" / "step-8").rglob("*") if p.is_file())
    # room for one checkpoint and a half: the second cannot be written beside the first
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    ballast.write_bytes(b"x" * (free - int(1.5 * checkpoint)))
    assert call(["train", str(recipe)]) == 2
    check_stopped(Run(out), last=2)
    assert call(["train", str(recipe), "--resume"]) == 2
    check_stopped(Run(out), last=2)
    ballast.unlink()
    assert call(["train", str(recipe), "--resume"]) == 0
    check_same(Run(out), whole)


@pytest.mark.parametrize("name", ["save_optimiser", "write_json"])
def test_a_disk_that_says_it_is_full(
    name: str, base: Path, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = getattr(session, name)

    def full(*arguments: Any) -> None:
        if "step-6" in str(arguments):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(*arguments)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(session, name, full)
        with pytest.raises(HoneError, match=r"the disk is full.*step-6.*free some space, then resume"):
            train(str(base), Echo(), GRPO(), out=str(out), **SETTINGS)
    check_stopped(Run(out), last=4)
    check_same(train(str(base), Echo(), GRPO(), out=str(out), resume=True, **SETTINGS), whole)
