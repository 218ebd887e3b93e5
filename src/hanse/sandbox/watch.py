"""The watch over a worker: whether all that it has started takes more than it may."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import stat
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hanse.sandbox import usage
from hanse.sandbox.allowed import SHARED_MEMORY
from hanse.sandbox.confine import OWN_PROCESSES, Confinement
from hanse.sandbox.effort import Effort, TooMuchToLookAtError
from hanse.sandbox.namespaces import TEMPORARY

INTERVAL_S = 0.2
"""Seconds between two looks at a worker."""
_PATIENCE = 20
"""A look that takes long is followed by this many times as long without one, up to `_MOST_PAUSE_S`."""
_MOST_PAUSE_S = 2.0
"""Most seconds between the end of a look and the next."""
_BLIND_S = 3.0
"""Seconds of looks that fail after which a worker is ended: it may have seen to it that they do."""
_HUNG_S = 60.0
"""Seconds of one look after which a worker is ended; longer than any that takes what it may."""
_WORTH_ENDING = 1 << 20
"""Bytes that a worker has to have written to be ended for a full disk."""
_MOST_FILES = 200_000
"""Files of a folder that are counted."""
_OWN_TEMPORARY = (TEMPORARY, Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - names in the worker's tree
"""Names by which a worker with a file tree of its own knows its temporary directory; others may not write."""
_FEW_INODES = 0.01
"""Part of a disk's files below which so many are left that others could make none soon."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A limit that a worker exceeded.

    Attributes:
        what: What it did, to follow on `because`.
        mend: What to do about it.
    """

    what: str
    mend: str


def too_much_memory(limit: int, held: int | None = None) -> Exceeded:
    """Its processes held more memory than they may together.

    Args:
        limit: What they may hold, bytes.
        held: What they held, bytes, where that is known.
    """
    found = "" if held is None else f" {_megabytes(held)} of memory,"
    return Exceeded(
        f"its processes together held{found} more than the {_megabytes(limit)} that "
        "`worker: {memory: ...}` permits",
        "Raise `memory` under `worker` in the settings, or have the plan's code take less.",
    )


def unseen(why: object) -> Exceeded:
    """It cannot be looked at any more, and so not be held to any limit."""
    return Exceeded(
        f"it cannot be held to its limits: {why}",
        "Have the plan's code start fewer processes and open and map fewer files. As a systemd service with "
        "`Delegate=memory pids`, the kernel holds memory and processes.",
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes and files that a worker has written to the disk.

    Attributes:
        size: Bytes; infinite where they cannot be counted.
        files: Number of files.
    """

    size: float
    files: int


class Watch:
    """Looks at a worker again and again, until it exceeds a limit.

    Args:
        pid: The worker's guard, above all of its processes.
        confinement: Its limits.
        workspace: Where it writes.
        held: Whether the kernel holds the limit on memory; it is not looked at then.
        counted: Whether the kernel holds that on processes; likewise.
        interval_s: Seconds between two looks.

    Attributes:
        needed: Whether there is a limit to look at.
    """

    def __init__(
        self,
        pid: int,
        confinement: Confinement,
        workspace: Path,
        *,
        held: bool = False,
        counted: bool = False,
        interval_s: float = INTERVAL_S,
    ) -> None:
        here = usage.supported()
        self._pid = pid
        self._memory = confinement.memory_bytes if here and not held else None
        self._processes = confinement.processes if here and not counted else None
        self._reserve = confinement.disk_reserve
        self._in_memory = confinement.in_memory
        self.needed = any(limit is not None for limit in (self._memory, self._processes, self._reserve))
        self._workspace = workspace
        self._written = tuple(
            os.fsencode(place) + b"/" for place in (workspace, *confinement.write, *_OWN_TEMPORARY)
        )
        self._open = False
        """True where the worker's processes could be looked into as it began."""
        self._began_at: float | None = None
        """When the look began that is being taken."""
        self._before = Taken(0, 0)
        self._lacked = 0
        self._interval_s = interval_s

    async def exceeded(self) -> Exceeded:
        """Wait until the worker exceeds a limit; says which."""
        loop, ends = asyncio.get_running_loop(), threading.Event()
        told: asyncio.Future[Exceeded] = loop.create_future()

        def tell(found: Exceeded) -> None:
            if not told.done():
                told.set_result(found)

        def watch() -> None:
            found = self._look_until(ends)
            if found is not None:
                with suppress(RuntimeError):  # the loop has ended, and the worker with it
                    loop.call_soon_threadsafe(tell, found)

        # A thread of its own: to wake the event loop for each look would cost more than the look.
        threading.Thread(target=watch, name=f"watch of {self._pid}", daemon=True).start()
        try:
            while not told.done():
                await asyncio.wait([told], timeout=_HUNG_S / 4)
                if self._began_at is not None and time.monotonic() - self._began_at > _HUNG_S:
                    tell(unseen(f"a look at it did not end within {_HUNG_S:g} s"))
            return told.result()
        finally:
            ends.set()

    def _look_until(self, ends: threading.Event) -> Exceeded | None:
        self._began_at = time.monotonic()
        self.begin()
        failed, failed_since, pause_s = "", math.inf, 0.0
        while not ends.wait(pause_s):
            began = self._began_at = time.monotonic()
            try:
                if (found := self.look()) is not None:
                    return found
                failed_since = math.inf
            except Exception as error:  # noqa: BLE001  # whatever a worker does, the watch over it continues
                if failed != (failed := str(error)):
                    logger.warning("a worker cannot be looked at now: %s", error)
                if not _is_ours(error):
                    failed_since = min(failed_since, began)
                if time.monotonic() - failed_since > _BLIND_S:
                    return unseen(error)
            self._began_at = None
            pause_s = pause_after(time.monotonic() - began, self._interval_s)
        return None

    def begin(self) -> None:
        """Note what lies in the workspace already, which an earlier worker wrote, and what the disk lacks."""
        if usage.supported():
            with suppress(OSError):
                self._open = usage.can_look_into(usage.threads_below(self._pid))
        if self._reserve is not None:
            with suppress(OSError):
                before = written_below(self._workspace)
                self._before = before if math.isfinite(before.size) else Taken(0, 0)
            with suppress(OSError):
                self._lacked = max(0, self._lacking(os.statvfs(self._workspace)))

    def look(self) -> Exceeded | None:
        """Look once; the limit that is exceeded, if one is."""
        try:
            return self._look_at_disk() or self._look_at_processes()
        except TooMuchToLookAtError as error:
            return unseen(error)

    def _look_at_processes(self) -> Exceeded | None:
        if self._memory is None and self._processes is None:
            return None
        most = None if self._processes is None else self._processes + OWN_PROCESSES
        threads = usage.threads_below(self._pid, most)
        if most is not None and sum(threads.values()) > most:
            return Exceeded(
                f"it had more than the {self._processes} processes and threads that "
                "`worker: {processes: ...}` permits",
                "Raise `processes` under `worker` in the settings, or have the plan's code start fewer.",
            )
        return None if self._memory is None else self._look_at_memory(list(threads), self._memory)

    def _look_at_memory(self, processes: Sequence[int], limit: int) -> Exceeded | None:
        if not processes:  # it has ended
            return None
        try:
            found = usage.memory(processes, SHARED_MEMORY, Effort(), opened=not self._in_memory)
        except PermissionError:
            if self._open:  # one of them has hidden since
                raise
            found = usage.memory_from_outside(processes)
        if found.total <= limit:
            return None
        # Counted with care, now that it matters: pages that a fork has in common count once.
        held = usage.proportional_memory(processes) + found.shared
        return too_much_memory(limit, held) if held > limit else None

    def _look_at_disk(self) -> Exceeded | None:
        if self._reserve is None:
            return None
        try:
            disk = os.statvfs(self._workspace)
        except OSError:  # the folder goes, and the worker with it
            return None
        lacking, few = self._lacking(disk), disk.f_favail < _FEW_INODES * disk.f_files
        self._lacked = min(self._lacked, max(0, lacking))
        if lacking <= self._lacked and not few:
            return None
        taken = self._taken()
        mend = "Free some space, lower `disk_reserve` in the settings, or have the plan's code write less."
        # What others write while it writes nothing is not its doing.
        if lacking > self._lacked and taken.size >= max(_WORTH_ENDING, lacking - self._lacked):
            wrote = _megabytes(taken.size) if math.isfinite(taken.size) else "more than can be counted"
            return Exceeded(
                f"it wrote {wrote} and left less of the disk free than `disk_reserve` asks for", mend
            )
        if few and taken.files >= _MOST_FILES // 2:
            return Exceeded(f"it made {taken.files} files, and the disk can hold few more", mend)
        return None

    def _lacking(self, disk: os.statvfs_result) -> int:
        """Bytes that a disk has less free than it should; negative where it has more."""
        return (self._reserve or 0) - disk.f_bavail * disk.f_frsize

    def _taken(self) -> Taken:
        """Measure what the worker wrote since the watch began, also to files that are deleted and open."""
        now, device = written_below(self._workspace), self._workspace.stat().st_dev
        deleted, hidden = self._deleted(device) if usage.supported() else ({}, False)
        size = math.inf if hidden else now.size + sum(deleted.values())
        return Taken(size - self._before.size, now.files + len(deleted) - self._before.files)

    def _deleted(self, device: int) -> tuple[dict[usage.Inode, int], bool]:
        """Files of the disk that are in no folder, and that it holds; whether the size of one is unknown."""
        processes, effort = usage.threads_below(self._pid), Effort()
        try:
            mapped = usage.mapped_files(processes, effort)
            files = mapped.deleted | usage.open_files(processes, effort).deleted
        except PermissionError:
            if self._open:
                raise
            return {}, False
        hidden = any(path.startswith(self._written) for path in mapped.unmeasured)
        return {inode: size for inode, size in files.items() if inode[0] == device}, hidden


def pause_after(took_s: float, interval_s: float = INTERVAL_S) -> float:
    """Seconds from the end of a look, which took so long, to the next."""
    return min(_MOST_PAUSE_S, max(interval_s, _PATIENCE * took_s))


def written_below(folder: Path, most: int = _MOST_FILES) -> Taken:
    """Measure what lies in a folder, on the disk.

    A worker could hide what it writes among very many files, in folders so deep that no path names them,
    or in folders that cannot be read: their size counts as infinite.

    Raises:
        OSError: The disk cannot be read, or this process may open no more files.
    """
    size = files = 0
    folders = [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    if files > most:
                        return Taken(math.inf, files)
                    with suppress(FileNotFoundError):  # what goes meanwhile hides nothing beside it
                        found = entry.stat(follow_symlinks=False)
                        size += found.st_blocks * 512
                        if stat.S_ISDIR(found.st_mode):
                            folders.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP):
                raise
            return Taken(math.inf, files)
    return Taken(size, files)


def _is_ours(error: Exception) -> bool:
    """Say whether a look failed for want of descriptors of this process, which no worker can take."""
    return isinstance(error, OSError) and error.errno == errno.EMFILE


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"
