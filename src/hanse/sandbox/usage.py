"""Threads, memory and open files of a worker and of all that it has started, as /proc shows them."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_GONE = (FileNotFoundError, ProcessLookupError)
_SHARED = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) ...s \S+ ([0-9a-f]+):([0-9a-f]+) (\d+) +(?:/dev/zero|/memfd:.*) \(deleted\)$",
    re.MULTILINE,
)
"""A mapping of memory that processes share and that no folder shows."""
_PARENT = 1
"""Field of /proc/PID/stat after the command's name, which may hold anything."""
_BLOCK = 512

Inode = tuple[int, int]
"""Device and number of a file."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory that processes hold together, bytes.

    Attributes:
        private: What is not shared on purpose. What a process has in common with one that it was forked
            from counts for both; `proportional_memory` counts it once.
        shared: Files in memory, mappings that are shared by their whole length (pages stay that no
            process maps at the moment), and what lies in a shared folder of their own.
    """

    private: int
    shared: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.private + self.shared


def supported() -> bool:
    """Say whether processes can be looked at on this machine."""
    return Path("/proc/self/status").exists()


def threads_below(root: int, most: int | None = None) -> dict[int, int]:
    """Count the threads of a process and of all that it has started, by process id.

    Args:
        root: The process. Where one ends that it has started, the children have to become the children
            of another one of them.
        most: Threads after which the count ends, since they are too many.
    """
    found: dict[int, int] = {}
    waiting, total = [root], 0
    children = _children_of_threads if _lists_children() else _children_by_parent()
    while waiting and (most is None or total <= most):
        process = waiting.pop()
        with suppress(*_GONE):
            threads = os.listdir(f"/proc/{process}/task")  # noqa: PTH208 - names, and often
            found[process] = len(threads)
            total += len(threads)
            waiting += [child for child in children(process, threads) if child not in found]
    return found


def threads_of_user() -> int:
    """Count the threads of all processes of this process's user, as far as they can be seen."""
    total, user = 0, os.geteuid()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if path.stat().st_uid == user:
                total += len(os.listdir(path / "task"))  # noqa: PTH208 - names, and often
    return total


def memory(processes: Sequence[int], folder: Path) -> Memory:
    """Measure the memory that processes hold together.

    Args:
        processes: Their ids; the first has started the others.
        folder: A folder in memory, such as `/dev/shm`, that may be their own and not this process's.
    """
    states = [state for process in processes if (state := _state(process)) is not None]
    private = sum(_bytes(state, b"RssAnon:") + _bytes(state, b"VmSwap:") for state in states)
    try:
        shared = _mapped(processes) | open_files(processes).memory
        return Memory(private, sum(shared.values()) + _used(processes[0], folder))
    except PermissionError:  # one cannot be looked into: what it maps counts, even if others map it too
        return Memory(private, sum(_bytes(state, b"RssShmem:") for state in states))


def proportional_memory(processes: Iterable[int]) -> int:
    """Measure the private memory of processes, with what several have in common once, bytes.

    The kernel looks at every page for that, which takes long.
    """
    total = 0
    for process in processes:
        try:
            text = _read(f"/proc/{process}/smaps_rollup")
            total += _bytes(text, b"Pss_Anon:") + _bytes(text, b"SwapPss:")
        except _GONE:
            continue
        except PermissionError:
            state = _state(process) or b""
            total += _bytes(state, b"RssAnon:") + _bytes(state, b"VmSwap:")
    return total


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """Files that are open and in no folder any more, bytes by inode.

    Attributes:
        memory: Those in memory (`memfd_create`).
        deleted: Those of a disk.
    """

    memory: dict[Inode, int]
    deleted: dict[Inode, int]


def open_files(processes: Iterable[int]) -> OpenFiles:
    """Find the files that processes hold open and that are in no folder.

    Raises:
        PermissionError: A process cannot be looked into.
    """
    found = OpenFiles({}, {})
    for process in processes:
        with suppress(*_GONE), os.scandir(f"/proc/{process}/fd") as entries:
            for entry in entries:
                with suppress(*_GONE):
                    name = os.readlink(entry.path)  # noqa: PTH115 - a name, and often
                    if not name.endswith(" (deleted)"):
                        continue
                    file = os.stat(entry.path)  # noqa: PTH116 - follows the link to what has no name
                    if stat.S_ISREG(file.st_mode):
                        files = found.memory if name.startswith("/memfd:") else found.deleted
                        files[file.st_dev, file.st_ino] = file.st_blocks * _BLOCK
    return found


def _mapped(processes: Iterable[int]) -> dict[Inode, int]:
    """Bytes of mappings that are shared and that no folder shows, by inode."""
    most: dict[Inode, int] = {}
    for process in processes:
        own: Counter[Inode] = Counter()
        with suppress(*_GONE):
            for start, end, major, minor, number in _SHARED.findall(_read(f"/proc/{process}/maps")):
                inode = os.makedev(int(major, 16), int(minor, 16)), int(number)
                own[inode] += int(end, 16) - int(start, 16)
        for inode, size in own.items():
            most[inode] = max(size, most.get(inode, 0))
    return most


def _used(process: int, folder: Path) -> int:
    """Bytes used of the file system that a process sees at a folder; 0 where it is this process's too."""
    theirs = Path(f"/proc/{process}/root", *folder.parts[1:])
    try:
        if theirs.stat().st_dev == folder.stat().st_dev:
            return 0
        found = os.statvfs(theirs)
    except _GONE:
        return 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _read(path: str) -> bytes:
    # Unbuffered and without a `Path`: a worker may have hundreds of these files, looked at again and again.
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return file.readall()


def _state(process: int) -> bytes | None:
    with suppress(*_GONE):
        return _read(f"/proc/{process}/status")
    return None


def _bytes(text: bytes, name: bytes) -> int:
    """A number of kilobytes of /proc, in bytes; 0 where it is not there."""
    _, found, rest = text.partition(b"\n" + name)
    return int(rest.split(None, 1)[0]) << 10 if found else 0


Children = Callable[[int, Iterable[str]], list[int]]


@cache
def _lists_children() -> bool:
    return any(Path("/proc/self/task").glob("*/children"))


def _children_of_threads(process: int, threads: Iterable[str]) -> list[int]:
    found: list[int] = []
    for thread in threads:
        with suppress(*_GONE):
            found += map(int, _read(f"/proc/{process}/task/{thread}/children").split())
    return found


def _children_by_parent() -> Children:
    """The children of processes as all processes name their parents, where the kernel lists none."""
    found = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_bytes().rpartition(b")")[2].split()
            found[int(fields[_PARENT])].append(int(path.parent.name))
    return lambda process, _: found[process]
