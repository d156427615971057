"""The system calls a program is refused, as a filter for the kernel (classic BPF).

Refused are: starting processes (threads are allowed), sockets, looking into other processes, namespaces and
mounts, memory that no resource limit counts, and parts of the kernel that are attacked often and needed by
no solution of a programming problem. Everything else is allowed: the rest of the isolation is the namespaces'.

Sources: ``linux/filter.h``, ``linux/seccomp.h``; numbers from ``asm/unistd_64.h`` and
``asm-generic/unistd.h``.
"""

from __future__ import annotations

import errno
import platform
import struct

from hone.core.errors import HoneError

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""``AUDIT_ARCH_*``, and the column in :data:`_REFUSED`."""

_NONE = -1
_REFUSED: dict[str, tuple[int, int]] = {
    # processes; clone, which also makes threads, is looked at more closely below
    "fork": (57, _NONE),
    "vfork": (58, _NONE),
    # the network
    "socket": (41, 198),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    # memory that RLIMIT_AS does not count
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    # often attacked
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "fanotify_init": (300, 262),
    "personality": (135, 92),
    "modify_ldt": (154, _NONE),
}
_CLONE = (56, 220)
_CLONE3 = 435
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000


def program_filter(machine: str | None = None) -> bytes:
    """The filter as an array of ``struct sock_filter``, what ``bwrap --seccomp`` reads.

    Args:
        machine: as :func:`platform.machine` says; this machine's by default.

    Raises:
        HoneError: an architecture whose system calls are not listed here.
    """
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise HoneError("programs cannot be isolated on this kind of machine", got=machine, expected=f"one of: {known}")
    audit, column = _ARCHITECTURES[machine]
    refuse = _instruction(_RETURN, _ERROR | errno.EPERM)
    code = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, audit, on_true=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        # The same calls have other numbers in the x32 ABI.
        _instruction(_AT_LEAST, _X32, on_false=1),
        refuse,
    ]
    for numbers in _REFUSED.values():
        if numbers[column] != _NONE:
            code += [_instruction(_EQUAL, numbers[column], on_false=1), refuse]
    # clone3 hides its flags behind a pointer; told that it does not exist, the C library falls back to clone.
    code += [_instruction(_EQUAL, _CLONE3, on_false=1), _instruction(_RETURN, _ERROR | errno.ENOSYS)]
    code += [
        _instruction(_EQUAL, _CLONE[column], on_false=3),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_ANY_BIT, _CLONE_THREAD, on_true=1),
        refuse,
        _instruction(_RETURN, _ALLOW),
    ]
    return b"".join(code)


def _instruction(code: int, value: int, on_true: int = 0, on_false: int = 0) -> bytes:
    """One instruction; ``on_true`` and ``on_false`` are how many of the next to skip."""
    return struct.pack("=HBBI", code, on_true, on_false, value)
