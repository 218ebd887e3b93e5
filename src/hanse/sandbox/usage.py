"""Threads, memory and open files of a worker and of all that it has started, as /proc shows them."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hanse.sandbox.effort import Effort, TooMuchToLookAtError

_GONE = (FileNotFoundError, ProcessLookupError)
_NAMELESS = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) ...(.) \S+ ([0-9a-f]+):([0-9a-f]+) (\d+) +(/.*) \(deleted\)$", re.MULTILINE
)
"""A mapping of a file that no folder shows: of a disk, or in memory (`memfd_create`, shared by a fork)."""
_ZERO, _IN_MEMORY = b"/dev/zero", b"/memfd:"
_PARENT = 1
"""Field of /proc/PID/stat after the command's name, which may hold anything."""
_BLOCK = 512
_PART = 1 << 16
"""Bytes of a long file of /proc that are read at once."""

Inode = tuple[int, int]
"""Device and number of a file."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory that processes hold together, bytes.

    Attributes:
        private: What is not shared on purpose. What a process has in common with one that it was forked
            from counts for both; `proportional_memory` counts it once.
        shared: Files in memory and mappings that are shared, with pages that no process maps at the
            moment, and what lies in a shared folder of their own.
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


def can_look_into(processes: Collection[int]) -> bool:
    """Say whether what processes hold can be seen; not where the kernel protects them from this one."""
    try:
        open_files(processes)
        mapped_files(processes)
    except PermissionError:
        return False
    except TooMuchToLookAtError:
        return True
    return True


def memory(
    processes: Sequence[int], folder: Path, effort: Effort | None = None, *, opened: bool = True
) -> Memory:
    """Measure the memory that processes hold together.

    Args:
        processes: Their ids; the first has started the others.
        folder: A folder in memory, such as `/dev/shm`, that may be their own and not this process's.
        effort: What the look may cost.
        opened: Whether to look for files in memory that are open and not mapped; not where the processes can
            make none, so that it takes no right to see what is open.

    Raises:
        PermissionError: A process cannot be looked into.
        TooMuchToLookAtError: They have too much.
    """
    effort = effort or Effort()
    states = [state for process in processes if (state := _state(process)) is not None]
    private = sum(_bytes(state, b"RssAnon:") + _bytes(state, b"VmSwap:") for state in states)
    shared = mapped_files(processes, effort).memory
    if opened:
        shared |= open_files(processes, effort).memory
    return Memory(private, sum(shared.values()) + _used(processes[0], folder))


def memory_from_outside(processes: Iterable[int]) -> Memory:
    """Measure the memory of processes that cannot be looked into.

    What they map counts, even if several map the same; a file in memory that none maps is not seen.
    """
    states = [state for process in processes if (state := _state(process)) is not None]
    return Memory(
        sum(_bytes(state, b"RssAnon:") + _bytes(state, b"VmSwap:") for state in states),
        sum(_bytes(state, b"RssShmem:") for state in states),
    )


def proportional_memory(processes: Iterable[int], within_s: float = 10.0) -> int:
    """Measure the private memory of processes, with what several have in common once, bytes.

    The kernel looks at every page for that, which takes long.

    Args:
        processes: Their ids.
        within_s: Seconds after which it ends.

    Raises:
        TooMuchToLookAtError: It took longer.
    """
    total, until = 0, time.monotonic() + within_s
    for process in processes:
        if time.monotonic() > until:
            raise TooMuchToLookAtError(
                "its processes had so much memory in common that it cannot be counted in time"
            )
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


def open_files(processes: Iterable[int], effort: Effort | None = None) -> OpenFiles:
    """Find the files that processes hold open and that are in no folder.

    Raises:
        PermissionError: A process cannot be looked into.
        TooMuchToLookAtError: They have too many files open.
    """
    effort = effort or Effort()
    found = OpenFiles({}, {})
    for process in processes:
        with suppress(*_GONE):
            names = os.listdir(f"/proc/{process}/fd")  # noqa: PTH208 - names, and often
            effort.spend(len(names))
            for name in names:
                with suppress(*_GONE):
                    _note_nameless(f"/proc/{process}/fd/{name}", found)
    return found


def _note_nameless(link: str, found: OpenFiles) -> None:
    """Note an open file, if it is in no folder."""
    try:
        name = os.readlink(link)  # noqa: PTH115 - a name, and often
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = ""  # in folders so deep that no path names it: only the file itself can show it
    if name and not name.endswith(" (deleted)"):
        return
    file = os.stat(link)  # noqa: PTH116 - follows the link to what has no name
    if stat.S_ISREG(file.st_mode) and (name or file.st_nlink == 0):
        files = found.memory if name.startswith("/memfd:") else found.deleted
        files[file.st_dev, file.st_ino] = file.st_blocks * _BLOCK


@dataclass(frozen=True, slots=True)
class MappedFiles:
    """Files that processes map and that are in no folder.

    Attributes:
        memory: Bytes of those in memory, by inode.
        deleted: Bytes of those of a disk, by inode.
        unmeasured: Paths that those of a disk had whose size cannot be seen, as few users may.
    """

    memory: dict[Inode, int]
    deleted: dict[Inode, int]
    unmeasured: set[bytes]


def mapped_files(processes: Iterable[int], effort: Effort | None = None) -> MappedFiles:
    """Find the files that processes map, also those whose descriptors they have closed.

    One in memory whose size cannot be seen counts by what of it is mapped.

    Raises:
        PermissionError: A process cannot be looked into.
        TooMuchToLookAtError: They have too many mappings.
    """
    effort = effort or Effort()
    found = MappedFiles({}, {}, set())
    measured: set[Inode] = set()
    for process in processes:
        own: Counter[Inode] = Counter()
        with suppress(*_GONE):
            for start, end, mode, major, minor, number, path in _nameless_mappings(process, effort):
                inode = os.makedev(int(major, 16), int(minor, 16)), int(number)
                if path == _ZERO and mode != b"s":  # a process's own, and counted with it
                    continue
                if inode in measured:
                    continue
                in_memory = path == _ZERO or path.startswith(_IN_MEMORY)
                file = _mapped_file(process, int(start, 16), int(end, 16))
                if file is not None:
                    measured.add(inode)
                    files = found.memory if in_memory else found.deleted
                    files[file.st_dev, file.st_ino] = file.st_blocks * _BLOCK
                elif in_memory:
                    own[inode] += int(end, 16) - int(start, 16)
                else:
                    found.unmeasured.add(path)
        for inode, size in own.items():
            if inode not in measured:
                found.memory[inode] = max(size, found.memory.get(inode, 0))
    return found


def _nameless_mappings(process: int, effort: Effort) -> Iterator[tuple[bytes, ...]]:
    rest = b""
    with open(f"/proc/{process}/maps", "rb", buffering=0) as file:  # noqa: PTH123
        while part := file.read(_PART):
            effort.spend()
            lines, _, rest = (rest + part).rpartition(b"\n")
            yield from _NAMELESS.findall(lines)


def _mapped_file(process: int, start: int, end: int) -> os.stat_result | None:
    """The file of a mapping; None where this user may not see it, or the mapping has gone."""
    try:
        return os.stat(f"/proc/{process}/map_files/{start:x}-{end:x}")  # noqa: PTH116
    except (*_GONE, PermissionError):
        return None


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
