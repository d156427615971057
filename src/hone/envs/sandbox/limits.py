"""What a program may use."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
_FILES = 64


@dataclass(frozen=True)
class Limits:
    """What a program may use; one that wants more is stopped, and that is its own fault.

    A program is one process (it cannot start another), so its address space is all the memory that it has,
    beside the files in its folder.

    Attributes:
        cpu: seconds of processor time.
        wall: seconds by the clock, also spent sleeping or waiting.
        memory: MiB of address space (RLIMIT_AS): data, stacks and libraries.
        disk: MiB of its private folder in memory, the only place it can write to.
        output: KiB that it may print, or hand back in one value.
        threads: how many threads it may have.
    """

    cpu: int = 4
    wall: float = 10.0
    memory: int = 1024
    disk: int = 16
    output: int = 1024
    threads: int = 32

    def __post_init__(self) -> None:
        if min(self.cpu, self.wall, self.memory, self.disk, self.output, self.threads) <= 0:
            raise ValueError("every limit must be positive")
        if self.memory < 64:
            raise ValueError("Python itself does not run in less than 64 MiB of memory")

    @property
    def output_bytes(self) -> int:
        """``output`` in bytes."""
        return self.output * 1024

    @property
    def rlimits(self) -> dict[str, tuple[int, int]]:
        """(soft, hard) by the name of the constant in :mod:`resource`.

        A program that ignores the signal at the soft limit of processor time is killed a second later.
        """
        return {
            "RLIMIT_CPU": (self.cpu, self.cpu + 1),
            "RLIMIT_AS": (self.memory * MIB,) * 2,
            "RLIMIT_FSIZE": (self.disk * MIB,) * 2,
            "RLIMIT_NOFILE": (_FILES,) * 2,
            "RLIMIT_NPROC": (self.threads,) * 2,
            "RLIMIT_CORE": (0, 0),
            "RLIMIT_MEMLOCK": (0, 0),
            "RLIMIT_MSGQUEUE": (0, 0),
        }
