"""A filter on system calls: kinds of sockets, and ways around the other layers.

Needs no privilege and works in every container. It cannot read what a pointer
points to, so it knows the family of a socket but not its address.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterable

from hanse.sandbox import kernel

_REFUSED = (
    # Memory and open files of other processes.
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    # Memory and queues that processes share by a key or a name, in no tree of files: others can have them,
    # and they stay when all processes have ended.
    "shmget",
    "semget",
    "msgget",
    "mq_open",
    # Memory that is in no count: of no process, and of no file that is open.
    "memfd_secret",
    # The user's keyring.
    "add_key",
    "request_key",
    "keyctl",
    # New namespaces bring back every capability, and with them much of the kernel.
    "unshare",
    "setns",
    # Opens sockets and files out of sight of this filter.
    "io_uring_setup",
)
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_REFUSE = _ERRNO | errno.EPERM
_X32_BIT = 0x40000000
_CLONE_NEWUSER = 0x10000000
_MODE_FILTER = 2

Instruction = tuple[int, int, int, int]
"""Operation, jump if true, jump if false (both in instructions to skip), operand."""


def refused(in_memory: bool) -> tuple[str, ...]:
    """System calls that are refused to a worker.

    Args:
        in_memory: Whether its starter may not see which files it has open; it gets none in memory then that
            no folder holds.
    """
    return (*_REFUSED, "memfd_create") if in_memory else _REFUSED


def program(families: Iterable[int], refused: Iterable[str] = _REFUSED) -> list[Instruction]:
    """Write the filter.

    Args:
        families: Address families (`socket.AF_INET`, ...) in which sockets may be
            opened. Socket pairs, which reach nobody else, always may.
        refused: Names of system calls that are refused.

    Returns:
        The filter, in the order in which it runs.
    """

    def when(operation: int, operand: int, result: int) -> list[Instruction]:
        return [(operation, 0, 1, operand), (_RETURN, 0, 0, result)]

    sockets = [step for family in families for step in when(_EQUAL, family, _ALLOW)]
    return [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, kernel.architecture()),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER_AT),
        *when(_AT_LEAST, _X32_BIT, _REFUSE),
        *(step for name in refused for step in when(_EQUAL, kernel.number(name), _REFUSE)),
        # Its flags are behind a pointer. Called absent, the C library falls back to `clone`.
        *when(_EQUAL, kernel.number("clone3"), _ERRNO | errno.ENOSYS),
        (_EQUAL, 0, 4, kernel.number("clone")),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        *when(_ANY_BIT, _CLONE_NEWUSER, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
        # Hidden from its starter, a process could hold memory that is not counted.
        (_EQUAL, 0, 4, kernel.number("prctl")),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        *when(_EQUAL, kernel.PR_SET_DUMPABLE, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
        (_EQUAL, 0, len(sockets) + 2, kernel.number("socket")),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        *sockets,
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]


def install(families: Iterable[int], refused: Iterable[str] = _REFUSED) -> None:
    """Put the filter on this thread and all that it starts, for good; see `program`.

    The process must have given up new privileges before.

    Raises:
        OSError: The kernel was built without filters.
    """
    steps = program(families, refused)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    pointer = struct.pack("@HP", len(steps), ctypes.addressof(code))
    kernel.call("prctl", kernel.PR_SET_SECCOMP, _MODE_FILTER, pointer, 0, 0)
