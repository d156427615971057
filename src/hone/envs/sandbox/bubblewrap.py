"""The command line that isolates a program: what it sees of this machine, and as whom it runs."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hone.core.errors import HoneError
from hone.envs.sandbox.limits import MIB, Limits
from hone.envs.sandbox.syscalls import program_filter

FOLDER = "/tmp"
"""The private folder, inside."""

USERS, USERS_END = 0x70000000, 0x78000000
"""User numbers that neither people, services nor containers have (systemd's table of user ids)."""

_NAMESPACES = ("ipc", "pid", "net", "uts", "cgroup")
_started = itertools.count()


@dataclass(frozen=True)
class Isolation:
    """How programs are isolated on this machine.

    Attributes:
        bwrap: the program; "" where isolation was declined (``unsafe``).
        own_user: every program runs as a user of its own, which only root can arrange. Else it runs in a user
            namespace, as whoever runs hone but without privileges.
    """

    bwrap: str
    own_user: bool

    @property
    def user(self) -> int | None:
        """A user number for the next program; None where it keeps its own."""
        if not self.own_user:
            return None
        return USERS + (os.getpid() * 4099 + next(_started)) % (USERS_END - USERS)

    def command(
        self, inner: Sequence[str], limits: Limits, packages: Sequence[str], shown: Mapping[str, str], seccomp: int
    ) -> list[str]:
        """``inner`` within its isolation.

        Args:
            inner: program and arguments, as seen inside.
            limits: only the size of the private folder is used here.
            packages: folders of Python packages to show.
            shown: more folders to show, and where.
            seccomp: file descriptor with the filter of system calls.
        """
        if not self.bwrap:
            return list(inner)
        words = [self.bwrap, "--die-with-parent", "--seccomp", str(seccomp)]
        if self.own_user:
            words += [f"--unshare-{name}" for name in _NAMESPACES]
            words += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        else:
            words += ["--unshare-all"]
        words += ["--hostname", f"hone-sandbox-{os.getpid()}"]
        words += ["--perms", "1777", "--size", str(limits.disk * MIB), "--tmpfs", FOLDER]
        visible = {path: path for path in _files(packages)} | dict(shown)
        parents = dict.fromkeys(str(parent) for path in visible.values() for parent in reversed(Path(path).parents))
        for parent in parents:  # bubblewrap makes them itself, but readable by root alone
            words += ["--perms", "0755", "--dir", parent] if parent not in ("/", FOLDER) else []
        for path, where in visible.items():
            link = Path(path).is_symlink()
            words += ["--symlink", str(Path(path).readlink()), where] if link else ["--ro-bind", path, where]
        words += ["--dev", "/dev", "--remount-ro", "/dev"]
        return [*words, "--remount-ro", "/", "--chdir", FOLDER, "--", *inner]


UNSAFE = Isolation("", False)


def interpreter() -> str:
    """This Python without its virtual environment."""
    return os.path.realpath(sys.executable)


@cache
def isolation() -> Isolation:
    """How programs can be isolated here; found out by trying, once.

    Raises:
        HoneError: bubblewrap is not installed, or cannot make namespaces.
    """
    unsafe = "or, if you trust every program that the model may write, set unsafe = true on the grader code"
    if sys.platform != "linux":
        raise HoneError("programs can be isolated on Linux only", got=sys.platform, do=unsafe)
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise HoneError(
            "bubblewrap, which isolates the programs of a model, is not installed",
            expected="the program bwrap on the path",
            do=f"apt-get install bubblewrap; {unsafe}",
        )
    said = []
    for own_user in (True, False) if os.geteuid() == 0 else (False,):
        found = Isolation(bwrap, own_user)
        with SyscallFilter() as seccomp:
            command = found.command([interpreter(), "-S", "-c", "pass"], Limits(), (), {}, seccomp)
            done = subprocess.run(command, pass_fds=[seccomp], capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            return found
        said += (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1:]
    raise HoneError(
        "bubblewrap cannot isolate programs here",
        got="; ".join(said),
        expected="user namespaces without privileges, or root with CAP_SYS_ADMIN",
        do="sysctl user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1, on Ubuntu also "
        f"kernel.apparmor_restrict_unprivileged_userns=0; in a container --privileged; {unsafe}",
    )


class SyscallFilter:
    """``with SyscallFilter() as descriptor``: a pipe that holds the filter, for one start of bubblewrap."""

    def __enter__(self) -> int:
        self._read, write = os.pipe()
        os.write(write, syscall_filter())  # far below a pipe's 64 KiB
        os.close(write)
        return self._read

    def __exit__(self, *_: object) -> None:
        os.close(self._read)


@cache
def syscall_filter() -> bytes:
    """The filter for this machine."""
    return program_filter()


def _files(packages: Sequence[str]) -> list[str]:
    """What of this machine's files is there inside, read-only: Python and the libraries it needs."""
    libraries = ["/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache"]
    prefix = str(Path(sys.base_prefix).resolve())
    python = [interpreter()] if prefix == "/usr" else [prefix]
    paths = [*libraries, *python, *(str(Path(path).resolve()) for path in packages)]
    return [path for path in dict.fromkeys(paths) if Path(path).exists()]
