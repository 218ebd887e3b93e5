"""Core dumps: this process leaves none, so that its memory comes to no disk."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

from hanse.sandbox import kernel

CORE_BYTES = 1
"""Limit on core dumps by which the kernel writes none, neither to a file nor to a program: a file would be
larger, and of a program's input it ignores any limit but this one."""

_PATTERN = Path("/proc/sys/kernel/core_pattern")


def refuse_core_dumps() -> None:
    """Leave no core dump of this process, and keep other processes of its user from looking into it.

    What it starts leaves none either, and can be looked into.

    Raises:
        OSError: The kernel refused.
    """
    limit_core_dumps()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def limit_core_dumps() -> None:
    """Have this process and all that it starts leave no core dump, for good.

    Where a limit of 0 was set before, only the superuser can change it; a program may then be given a dump of
    what can be looked into.
    """
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (CORE_BYTES, CORE_BYTES))


def core_pattern() -> str:
    """Where this machine has core dumps written, as its administrator set it; empty where unknown."""
    try:
        return _PATTERN.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
