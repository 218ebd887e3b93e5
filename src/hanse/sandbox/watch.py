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

INTERVAL_S = 0.2
"""Seconds between two looks at a worker."""
_PATIENCE = 20
"""A look that takes long is followed by this many times as long without one."""
_WORTH_ENDING = 1 << 20
"""Bytes that a worker has to have written to be ended for a full disk."""
_MOST_FILES = 200_000
"""Files of a folder that are counted."""
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
        self.needed = any(limit is not None for limit in (self._memory, self._processes, self._reserve))
        self._workspace = workspace
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
            return await told
        finally:
            ends.set()

    def _look_until(self, ends: threading.Event) -> Exceeded | None:
        self.begin()
        failed, pause_s = "", 0.0
        while not ends.wait(pause_s):
            began = time.monotonic()
            try:
                if (found := self.look()) is not None:
                    return found
            except OSError as error:
                if failed != (failed := str(error)):
                    logger.warning("a worker cannot be looked at now: %s", error)
            pause_s = max(self._interval_s, _PATIENCE * (time.monotonic() - began))
        return None

    def begin(self) -> None:
        """Note what lies in the workspace already, which an earlier worker wrote, and what the disk lacks."""
        if self._reserve is not None:
            before = written_below(self._workspace)
            self._before = before if math.isfinite(before.size) else Taken(0, 0)
            with suppress(OSError):
                self._lacked = max(0, self._lacking(os.statvfs(self._workspace)))

    def look(self) -> Exceeded | None:
        """Look once; the limit that is exceeded, if one is."""
        found = self._look_at_disk()
        if found is not None or (self._memory is None and self._processes is None):
            return found
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
        found = usage.memory(processes, SHARED_MEMORY)
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
        deleted: dict[usage.Inode, int] = {}
        if usage.supported():
            with suppress(PermissionError):
                deleted = usage.open_files(usage.threads_below(self._pid)).deleted
        size = now.size + sum(size for inode, size in deleted.items() if inode[0] == device)
        return Taken(size - self._before.size, now.files + len(deleted) - self._before.files)


def written_below(folder: Path, most: int = _MOST_FILES) -> Taken:
    """Measure what lies in a folder, on the disk.

    A worker could hide what it writes among very many files, in folders so deep that no path names them,
    or in folders that cannot be read: their size counts as infinite.
    """
    size = files = 0
    folders = [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    found = entry.stat(follow_symlinks=False)
                    size += found.st_blocks * 512
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(entry.path)
                    if files > most:
                        return Taken(math.inf, files)
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EACCES):
                return Taken(math.inf, files)
    return Taken(size, files)


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"
