"""Control groups (cgroup v2) for workers, where this process was given a part of the tree to divide.

A service manager gives one with `Delegate=yes`. The kernel then holds the memory and the number of
processes of each worker as a whole, which no other means of an ordinary user does.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hanse.sandbox.confine import OWN_PROCESSES, Confinement

_NEEDED = ("memory", "pids")
_SERVICE = "hanse-service"
"""Group of this process itself: the kernel wants no process beside groups that it holds to limits."""
_WORKER = "hanse-worker-"
_OVERHEAD = 64 << 20
"""Memory of a worker's guards, and what the kernel keeps for its processes, beside what the plan may take."""
_OWNED = ("user.delegate", "trusted.delegate")
"""Attributes by which systemd marks a group as given away; a superuser may write to all of them."""
_MOUNT = re.compile(r"^\S+ \S+ \S+ (\S+) (\S+) .* - cgroup2 ", re.MULTILINE)

_numbers = itertools.count()


class NoGroupError(Exception):
    """No groups can be made here; says why."""


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """The group of one worker.

    Attributes:
        path: Its folder.
    """

    path: Path

    def add(self, process: int) -> None:
        """Put a process into the group, with all that it starts from now on.

        Raises:
            OSError: The kernel refused.
        """
        _write(self.path / "cgroup.procs", str(process))

    def ran_out_of_memory(self) -> bool:
        """Say whether the kernel has ended processes of the group for the memory that they held."""
        try:
            events = dict(line.split() for line in (self.path / "memory.events").read_text().splitlines())
        except (OSError, ValueError):
            return False
        return int(events.get("oom_kill", 0)) > 0

    def end(self) -> None:
        """End what is still in the group, and remove the group as soon as it is empty."""
        with contextlib.suppress(OSError):  # absent before Linux 5.14
            _write(self.path / "cgroup.kill", "1")
        with contextlib.suppress(OSError):
            self.path.rmdir()


@dataclass(frozen=True, slots=True)
class Groups:
    """A part of the tree of groups that this process may divide.

    Attributes:
        base: Its folder.
    """

    base: Path

    def make(self, confinement: Confinement) -> WorkerGroup:
        """Make the group of a worker, with its limits.

        Raises:
            NoGroupError: The kernel refused.
        """
        self._remove_empty()
        path = self.base / f"{_WORKER}{os.getpid()}-{next(_numbers)}"
        try:
            path.mkdir()
            if confinement.memory_bytes is not None:
                _write(path / "memory.max", str(confinement.memory_bytes + _OVERHEAD))
                # One process less would leave a worker that hangs.
                _write(path / "memory.oom.group", "1")
                with contextlib.suppress(OSError):  # where swap is not counted there mostly is none
                    _write(path / "memory.swap.max", "0")
            if confinement.processes is not None:
                _write(path / "pids.max", str(confinement.processes + OWN_PROCESSES))
        except OSError as error:
            WorkerGroup(path).end()
            raise NoGroupError(f"no cgroup: {error.strerror}") from error
        return WorkerGroup(path)

    def _remove_empty(self) -> None:
        """Remove groups of workers that have ended; the kernel keeps those that are not empty."""
        for path in self.base.glob(f"{_WORKER}*"):
            with contextlib.suppress(OSError):
                path.rmdir()


@cache
def groups_here() -> Groups | NoGroupError:
    """The groups that this process may make, found out once; or why it may make none."""
    try:
        return delegated(Path("/proc/self"))
    except NoGroupError as error:
        return error


def delegated(process: Path, *, superuser: bool | None = None) -> Groups:
    """Take over the group that a process is in, if it was given away to be divided.

    The process moves to a group below it, since the kernel wants no process beside groups with limits.

    Args:
        process: Its folder in /proc.
        superuser: Whether it could write to every group, given away or not; None to find out.

    Raises:
        NoGroupError: There are none of version 2, without controllers, not given away, or not alone.
    """
    own = _own_group(process)
    base = own.parent if own.name == _SERVICE else own
    try:
        if not _given_away(base, os.geteuid() == 0 if superuser is None else superuser):
            raise NoGroupError("no cgroup: this process was given none")
        lacking = set(_NEEDED) - set((base / "cgroup.controllers").read_text(encoding="ascii").split())
        if lacking:
            raise NoGroupError(f"no cgroup: {' and '.join(sorted(lacking))} cannot be limited in this one")
        _limit_below(base)
    except OSError as error:
        raise NoGroupError(f"no cgroup: {error.strerror}") from error
    return Groups(base)


def _own_group(process: Path) -> Path:
    try:
        lines = (process / "cgroup").read_text(encoding="utf-8").splitlines()
        mounts = _MOUNT.findall((process / "mountinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise NoGroupError(f"no cgroup: {error.strerror}") from error
    named = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    for root, mounted in mounts if named else ():
        if Path(named[0]).is_relative_to(root):
            return Path(mounted, Path(named[0]).relative_to(root))
    raise NoGroupError("no cgroup: this machine has none of version 2")


def _given_away(base: Path, superuser: bool) -> bool:
    if superuser:
        return any(_attribute(base, name) == b"1" for name in _OWNED)
    files = (base, base / "cgroup.procs", base / "cgroup.subtree_control")
    return all(os.access(path, os.W_OK) for path in files)


def _attribute(path: Path, name: str) -> bytes:
    try:
        return os.getxattr(path, name)
    except OSError:
        return b""


def _limit_below(base: Path) -> None:
    """Have the kernel limit the groups below one.

    Raises:
        OSError: It refuses.
        NoGroupError: Other processes are in the group, too.
    """
    control = base / "cgroup.subtree_control"
    if set(_NEEDED) <= set(control.read_text(encoding="ascii").split()):
        return
    service = base / _SERVICE
    service.mkdir(exist_ok=True)
    _write(service / "cgroup.procs", "0")
    try:
        _write(control, " ".join(f"+{name}" for name in _NEEDED))
    except OSError as error:
        _write(base / "cgroup.procs", "0")
        with contextlib.suppress(OSError):
            service.rmdir()
        if error.errno == errno.EBUSY:
            raise NoGroupError("no cgroup: other processes are in this one, too") from error
        raise


def _write(path: Path, text: str) -> None:
    # In one call, as the kernel reads it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
