"""Paths that no worker may reach: devices that attest this machine, and what its starter names as secret."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

_DEVICES = (
    *("dev/tpm*", "dev/sev-guest", "dev/tdx_guest", "dev/tdx-guest", "dev/attestation"),
    "sys/kernel/config/tsm",
)
_OUT_OF_REACH = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM)


def attestation_devices(root: Path = Path("/")) -> tuple[Path, ...]:
    """Devices of this machine that give evidence of what it runs, in its party's name.

    Args:
        root: The root of the file system; another one for tests.
    """
    return tuple(path for pattern in _DEVICES for path in sorted(root.glob(pattern)))


def reachable(paths: Iterable[Path]) -> Iterator[Path]:
    """Those of some files, devices and sockets that this process can open or connect to."""
    return (path for path in paths if _is_reachable(path))


def _is_reachable(path: Path) -> bool:
    try:
        # Not to wait for a pipe's other end.
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError as error:
        if error.errno == errno.ENXIO and stat.S_ISSOCK(path.stat().st_mode):
            return _takes_connections(path)
        # A device that is busy could be opened another time.
        return error.errno not in _OUT_OF_REACH
    return True


def _takes_connections(path: Path) -> bool:
    import socket  # only here: every worker would pay for it

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
            connection.connect(str(path))
    except OSError as error:
        # Refused for its kind, or by one that does not listen now, it can be reached all the same.
        return error.errno not in _OUT_OF_REACH
    return True
