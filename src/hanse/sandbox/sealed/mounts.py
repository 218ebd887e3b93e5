"""Mounts of this process, as the kernel lists them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount.

    Attributes:
        place: Where.
        kind: Of the file system, as `tmpfs`.
        source: What is mounted, as it was named.
        device: Number of the file system's device.
        writable: Whether it may be written to.
        shared: Whether mounts below it are passed on to other programs.
        options: Of the file system.
    """

    place: Path
    kind: str
    source: str
    device: int
    writable: bool
    shared: bool
    options: tuple[str, ...]


def mounts(text: str | None = None) -> list[Mount]:
    """All mounts that this process sees, a later one above an earlier one.

    Args:
        text: The kernel's list; None to read it.

    Raises:
        OSError: The list cannot be read.
    """
    if text is None:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    return [_read(line) for line in text.splitlines()]


def mount_of(path: Path, among: list[Mount]) -> Mount | None:
    """The mount that a path lies on; None where none is known.

    Args:
        path: Absolute, without symbolic links.
        among: All mounts.
    """
    found = None
    for mount in among:
        deeper = found is None or len(mount.place.parts) >= len(found.place.parts)
        if deeper and path.is_relative_to(mount.place):
            found = mount
    return found


def writable_disks(among: list[Mount]) -> Iterator[Path]:
    """Places among mounts that may be written to and are neither in memory nor devices."""
    for mount in among:
        if mount.writable and mount.kind not in ("tmpfs", "devtmpfs", "devpts", "mqueue"):
            yield mount.place


def _read(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    _, _, device, _, place, how, *tags = before.split(" ")
    kind, source, options = after.split(" ", 2)
    major, minor = map(int, device.split(":"))
    return Mount(
        place=Path(_plain(place)),
        kind=kind,
        source=_plain(source),
        device=os.makedev(major, minor),
        writable="rw" in how.split(","),
        shared=any(tag.startswith("shared:") for tag in tags),
        options=tuple(options.split(",")),
    )


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
