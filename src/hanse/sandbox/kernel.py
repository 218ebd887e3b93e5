"""The Linux system calls that confinement needs and Python does not offer, by number."""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""By machine: column of `_NUMBERS`, and what seccomp calls the architecture."""

_NUMBERS = {
    "add_key": (248, 217),
    "capset": (126, 91),
    "clone": (56, 220),
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmget": (29, 194),
    "socket": (41, 198),
    "statfs": (137, 43),
    "umount2": (166, 39),
    "unshare": (272, 97),
}

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47

_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITIES_VERSION_3 = 0x20080522
_CAP_SYS_PTRACE = 19


def supported() -> bool:
    """Whether this is a machine whose system calls are known here."""
    return sys.platform == "linux" and os.uname().machine in _ARCHITECTURES


def architecture() -> int:
    """This machine as seccomp names it (`AUDIT_ARCH_...`)."""
    return _ARCHITECTURES[os.uname().machine][1]


def number(name: str) -> int:
    """Number of a system call on this machine."""
    return _NUMBERS[name][_ARCHITECTURES[os.uname().machine][0]]


def call(name: str, *arguments: int | bytes | None) -> int:
    """Make a system call.

    Args:
        name: The call's name, one of those above.
        *arguments: Numbers, or bytes for a pointer to a string or a packed structure.

    Raises:
        OSError: The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # As long: a bare int would be passed as 32 bits and leave the upper half undefined.
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(libc.syscall(ctypes.c_long(number(name)), *words))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def prctl(option: int, value: int = 1, more: int = 0) -> None:
    """Set one property of this process.

    Raises:
        OSError: The kernel refused.
    """
    call("prctl", option, value, more, 0, 0)


def drop_capabilities() -> None:
    """Give up every privilege that being root, here or in a user namespace, brings.

    Raises:
        OSError: The kernel refused.
    """
    _set_capabilities(bytes(24))


def keep_only_sight() -> None:
    """Give up every privilege but to look into processes, and keep that one in programs that this starts.

    Raises:
        OSError: The kernel refused, or this process did not have it.
    """
    one = struct.pack("=III", *[1 << _CAP_SYS_PTRACE] * 3)
    _set_capabilities(one + bytes(12))
    prctl(PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_SYS_PTRACE)


def file_system_of(path: str) -> int:
    """Number of the kind of file system that a path lies on.

    Raises:
        OSError: There is no such path.
    """
    found = ctypes.create_string_buffer(256)
    call("statfs", os.fsencode(path), ctypes.addressof(found))
    return int.from_bytes(found.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder)


def _set_capabilities(sets: bytes) -> None:
    call("capset", _CAPABILITIES_VERSION_3.to_bytes(4, sys.byteorder) + bytes(4), sets)
