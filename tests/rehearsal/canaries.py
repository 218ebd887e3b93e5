"""Search for a model's numbers in all files that the parties and their workers may have written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

CHUNK = 1 << 22
_MOST_FILES = 50_000
_MOST_BYTES = 1 << 30
SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/var/crash", "/var/lib/systemd/coredump")
"""Folders of the machine that a process may leave something in; of `/tmp` only what is named after Hanse."""


def traces(marks: Iterable[bytes], folders: Iterable[Path], since_s: float) -> list[str]:
    """Files that hold a mark.

    Args:
        marks: Bytes that nothing else holds.
        folders: Folders to search, whole.
        since_s: Time before which nothing of it can have been written, in seconds since 1970.
    """
    known = tuple(marks)
    return [str(path) for path in _files(folders, since_s) if _holds(path, known)]


def shared_folders() -> Iterator[Path]:
    """Folders of the machine in which a process may leave something, core dumps too."""
    for folder in map(Path, SHARED):
        if folder == Path("/tmp"):
            yield from folder.glob("hanse*")
        elif folder.is_dir():
            yield folder
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith("/"):
        yield Path(pattern).parent


def _files(folders: Iterable[Path], since_s: float) -> Iterator[Path]:
    count = total = 0
    for folder in folders:
        for above, _, names in os.walk(folder):
            for name in names:
                path = Path(above, name)
                try:
                    found = path.lstat()
                except OSError:
                    continue  # it went meanwhile
                # A file that was moved here keeps the time of its content.
                if path.is_symlink() or not path.is_file() or max(found.st_mtime, found.st_ctime) < since_s:
                    continue
                count, total = count + 1, total + found.st_size
                assert count < _MOST_FILES, "too many files to search"
                assert total < _MOST_BYTES, "too many bytes to search"
                yield path


def _holds(path: Path, marks: tuple[bytes, ...]) -> bool:
    overlap = max(map(len, marks))
    before = b""
    try:
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                if any(mark in before + data for mark in marks):
                    return True
                before = data[-overlap:]
    except OSError:
        return False  # it went meanwhile
    return False
