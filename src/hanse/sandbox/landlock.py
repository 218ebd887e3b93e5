"""Landlock: the kernel lets this process reach no file but those on a list.

Works without privilege from Linux 5.13 on; each version of its interface (ABI)
covers more. A confined process can also not look into or trace one that is not
confined with it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from hanse.sandbox import kernel
from hanse.sandbox.allowed import Access, Grant

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = (
    1 << bit for bit in range(6, 13)
)
_REFER, _TRUNCATE, _IOCTL_DEV, _RESOLVE_UNIX = 1 << 13, 1 << 14, 1 << 15, 1 << 16

_FIRST_RIGHTS = (1 << 13) - 1
_RIGHTS_SINCE = {1: _FIRST_RIGHTS, 2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEV, 9: _RESOLVE_UNIX}
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_RIGHTS = {
    Access.READ: _READ_FILE | _READ_DIR,
    Access.RUN: _EXECUTE,
    Access.WRITE: _WRITE_FILE
    | _TRUNCATE
    | _REMOVE_DIR
    | _REMOVE_FILE
    | _MAKE_DIR
    | _MAKE_REG
    | _MAKE_SOCK
    | _MAKE_FIFO
    | _MAKE_SYM
    | _REFER,
    Access.CONTROL: _IOCTL_DEV,
}

TCP_SINCE, SIGNALS_SINCE, LOCAL_SOCKETS_SINCE = 4, 6, 9
"""The ABI from which on TCP, signals, and sockets with a path can be refused."""

_TCP = 0b11  # bind, connect
_SCOPED = 0b11  # abstract sockets, signals: those of this sandbox only
_ASK_VERSION = 1
_PATH_BENEATH = 1


def abi() -> int:
    """Version of Landlock in this kernel, at least 1.

    Raises:
        OSError: The kernel has none, or it is switched off.
    """
    return kernel.call("landlock_create_ruleset", None, 0, _ASK_VERSION)


def restrict(grants: Iterable[Grant], *, tcp: bool) -> int:
    """Confine this thread, and all that it starts, to a list of paths.

    The process must have given up new privileges before.

    Args:
        grants: What may be reached.
        tcp: Whether TCP ports may be bound and connected to.

    Returns:
        The ABI in effect.

    Raises:
        OSError: The kernel has no Landlock, or a path is gone.
    """
    version = abi()
    handled = sum(rights for since, rights in _RIGHTS_SINCE.items() if version >= since)
    ruleset = kernel.call(
        "landlock_create_ruleset",
        struct.pack(
            "=QQQ",
            handled,
            _TCP if version >= TCP_SINCE and not tcp else 0,
            _SCOPED if version >= SIGNALS_SINCE else 0,
        ),
        24,
        0,
    )
    try:
        for grant in grants:
            _allow(ruleset, grant, handled)
        kernel.call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, grant: Grant, handled: int) -> None:
    rights = sum(_RIGHTS[access] for access in grant.access) & handled
    if not grant.path.is_dir():
        rights &= _OF_FILES
    path = os.open(grant.path, os.O_PATH | os.O_CLOEXEC)
    try:
        kernel.call("landlock_add_rule", ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, path), 0)
    finally:
        os.close(path)
