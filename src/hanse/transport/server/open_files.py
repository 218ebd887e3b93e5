"""Open files of this process: the limit, raised as far as may be, and the connections that fit under it."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass

_STRANGERS = _OWN = 256
_FEWEST_STRANGERS, _FEWEST_OWN = 8, 64
_PART = 8
"""Part of a low limit that is kept for strangers' connections, and as much for the service's own files."""
_MOST = 1 << 20
"""Files where there is no limit."""

MORE_FILES = (
    "Raise the limit (`LimitNOFILE=` of a systemd service, `ulimit -Hn` of a shell), or lower "
    "`limits: {connections: ...}` in aggregator.yaml."
)
"""The remedy where there are too few files."""


@dataclass(frozen=True, slots=True)
class Room:
    """The connections that fit under a limit on open files.

    Attributes:
        files: The limit.
        connections: Connections of members; 0 where not even the service's own files fit.
        strangers: Connections of peers that have shown no member's certificate.
    """

    files: int
    connections: int
    strangers: int


def room_under(files: int) -> Room:
    """Divide a limit on open files: members' connections, strangers' connections, the service's own files.

    The service needs files for its journal, for blobs that are on their way, and for its workers.
    """
    strangers = max(_FEWEST_STRANGERS, min(_STRANGERS, files // _PART))
    own = max(_FEWEST_OWN, min(_OWN, files // _PART))
    return Room(files, max(0, files - strangers - own), strangers)


def too_few_files(connections: int, room: Room) -> str:
    """State that a limit leaves room for fewer connections than are permitted."""
    return (
        f"aggregator.yaml permits {connections} connections, and this process may open {room.files} files, "
        f"which leaves room for {room.connections}; more are turned away"
    )


def soft_limit() -> int:
    """The limit on open files of this process as it is."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> int:
    """Raise this process's limit on open files to the most that is permitted; the limit then.

    Services hold many connections; the usual limit of 1,024 is meant for programs that cannot.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for files in _candidates(hard):
        if soft == resource.RLIM_INFINITY or files <= soft:
            break
        with suppress(ValueError, OSError):  # more than this system has
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
            return files
    return _MOST if soft == resource.RLIM_INFINITY else soft


def most_files() -> int:
    """The limit that `raise_limit` would come to, as far as it is known beforehand."""
    return _candidates(resource.getrlimit(resource.RLIMIT_NOFILE)[1])[0]


def _candidates(hard: int) -> tuple[int, ...]:
    # Where there is no hard limit, some systems refuse to set none.
    return (_MOST, 1 << 16, 10_240) if hard == resource.RLIM_INFINITY else (hard,)
