"""Memory folders: a folder of one agent or service that lies in memory, and that no other program sees.

The process has mounts of its own, and in them a file system in memory. Processes that it starts share them.
When the last of them has ended, however that happens, all in the folder is gone.

Nothing here may import numpy, which starts threads: a process that has any cannot change its mounts whole.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hanse.errors import ConfigError
from hanse.files.errors import file_errors
from hanse.sandbox import kernel, namespaces
from hanse.sandbox.sealed.mounts import mount_of, mounts

LEAST_BYTES = 1 << 20
"""Smallest memory folder; of 0 bytes it would have no bound at all."""

_STARTED_AGAIN = "HANSE_MEMORY_FOLDER"
"""Variable with the id of the process that was started again for a memory folder, and why it has none. A
process keeps its id then, so that what another one left in the environment does not count."""
_MOST_FILES = 1 << 18
"""Files and folders in it: each takes memory that its size does not count."""
_TMPFS = 0x01021994
_LACKING = (
    "Run it on Linux 5.12 or later as root, or where a user may make user namespaces; a container needs "
    "CAP_SYS_ADMIN. Without `sealed_memory` in the settings no sealed run is possible here."
)


@dataclass(frozen=True, slots=True)
class MemoryFolder:
    """A memory folder that this process has entered.

    Attributes:
        path: Where, absolute.
        max_bytes: Most bytes of all files in it.
        may_be_swapped: Whether the kernel may write it to a swap area, should this machine have one.
    """

    path: Path
    max_bytes: int
    may_be_swapped: bool


def enter_memory_folder(folder: Path, max_bytes: int) -> MemoryFolder:
    """Have a folder in memory that only this process and those that it starts see.

    To be called at the very beginning of a command, before it has opened or changed anything: a process
    with threads starts its command again, once, with the same process id, and does not return.

    Args:
        folder: An empty folder; made where it is missing.
        max_bytes: Most bytes of all files in it, at least `LEAST_BYTES`.

    Raises:
        ConfigError: The folder is not empty, or the machine permits no such thing; says what is lacking.
        StorageError: The folder cannot be made or read.
    """
    if max_bytes < LEAST_BYTES:
        raise ValueError(f"a memory folder has at least {LEAST_BYTES} bytes, not {max_bytes}")
    folder = folder.absolute()
    again = os.environ.pop(_STARTED_AGAIN, "").split(" ", 1)
    if not is_memory_folder(folder):
        refused = again[1] if again[0] == str(os.getpid()) and len(again) > 1 else ""
        if not refused:
            _check(folder)
            if _threads() > 1:
                if again[0] == str(os.getpid()):
                    refused = "it was entered, and is not seen there"
                else:
                    _start_again(folder, max_bytes)
            else:
                refused = _enter(folder, max_bytes)
        if refused:
            raise ConfigError(f"no memory folder can be made at {folder}: {refused}", mend=_LACKING)
    mounted = mount_of(folder.resolve(), mounts())
    return MemoryFolder(folder, max_bytes, mounted is None or "noswap" not in mounted.options)


def is_memory_folder(path: Path) -> bool:
    """Say whether a path lies in a memory folder of this process, and is not shared with other programs."""
    try:
        place = path.resolve(strict=True)
        mount = mount_of(place, mounts())
        return (
            mount is not None
            and mount.kind == "tmpfs"
            and mount.source == _name()
            and not mount.shared
            # The kernel's word on the path itself, should the list be read wrong.
            and place.stat().st_dev == mount.device
            and kernel.file_system_of(str(place)) == _TMPFS
        )
    except OSError:
        return False


def swap_areas() -> tuple[str, ...]:
    """Swap areas of this machine, by their paths."""
    try:
        lines = Path("/proc/swaps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(line.split()[0] for line in lines[1:] if line.strip())


def _check(folder: Path) -> None:
    with file_errors(f"make the folder {folder} for files in memory"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if next(folder.iterdir(), None) is not None:
            raise ConfigError(
                f"{folder} is to lie in memory, and holds files already",
                mend="Nothing of Hanse lies in it on the disk: find out whose they are, and move them away.",
            )


def _enter(folder: Path, max_bytes: int) -> str:
    """Make and enter a memory folder; why that is not possible, empty where it was."""
    if not kernel.supported():
        return "it takes Linux on x86_64 or aarch64"
    try:
        namespaces.separate_mounts()
    except OSError as error:
        return f"this process gets no mounts of its own ({error.strerror})"
    options = f"mode=0700,size={max_bytes},nr_inodes={_MOST_FILES}"
    try:
        try:
            namespaces.mount_memory(folder, _name(), f"{options},noswap")
        except OSError:  # before Linux 6.4, and in a user namespace
            namespaces.mount_memory(folder, _name(), options)
    except OSError as error:
        return f"nothing can be mounted ({error.strerror})"
    if os.geteuid() != 0:
        # Of the privileges in a user namespace; the watch over workers needs this one.
        with suppress(OSError):
            kernel.keep_only_sight()
    return "" if is_memory_folder(folder) else "what was mounted is not seen there"


def _start_again(folder: Path, max_bytes: int) -> None:
    """Replace this program by `main`, which enters the folder and then starts the command again."""
    alone = "-I" if sys.flags.isolated else "-P"
    entering = (alone, "-m", __name__, str(folder), str(max_bytes))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *entering, *sys.orig_argv[1:]])  # noqa: S606 - the same program


def _threads() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return 1


def _name() -> str:
    """Name of memory folders of this process's mounts: no other program can have one that is called so."""
    return f"hanse-{Path('/proc/self/ns/mnt').stat().st_ino}"


def main(arguments: list[str]) -> None:
    """Enter a memory folder in a process without threads, and start a command of Python's again.

    Args:
        arguments: Folder, size in bytes, and what follows the interpreter in the command.
    """
    folder, max_bytes, *command = arguments
    refused = "" if _threads() == 1 else "the interpreter has threads from its start"
    refused = refused or _enter(Path(folder), int(max_bytes))
    os.environ[_STARTED_AGAIN] = f"{os.getpid()} {refused}".strip()
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - the command that started this


if __name__ == "__main__":
    main(sys.argv[1:])
