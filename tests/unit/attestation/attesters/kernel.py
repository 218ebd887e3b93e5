"""A folder that looks like configfs-tsm, played by the tests: what the kernel does at each access."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hanse.attestation.attesters.files import DeviceFiles


def nothing(request: Path) -> None:
    """What another process does with a request: nothing."""


@dataclass
class Kernel(DeviceFiles):
    """Requests as the kernel's driver handles them.

    Attributes:
        provider: Name of the driver; empty where none has registered.
        report: Makes the report of report data.
        table: The supplement; None where the driver has none.
        other: What another process does just before a report is read.
        refused: Error by the name of a file.
        made: Requests that were made, in their order.
    """

    provider: str
    report: Callable[[bytes], bytes]
    table: bytes | None = None
    other: Callable[[Path], None] = nothing
    refused: dict[str, int] = field(default_factory=dict)
    made: list[Path] = field(default_factory=list)

    def make_folder(self, path: Path) -> None:
        """A new request: the kernel puts its files there."""
        if not self.provider:
            raise OSError(errno.ENXIO, "No such device or address")
        super().make_folder(path)
        self.made.append(path)
        (path / "provider").write_text(f"{self.provider}\n")
        (path / "generation").write_text("0\n")
        (path / "outblob").touch()
        if self.table is not None:
            (path / "auxblob").write_bytes(self.table)

    def remove_folder(self, path: Path) -> None:
        """The request's files go with it."""
        for file in path.iterdir():
            file.unlink()
        super().remove_folder(path)

    def write(self, path: Path, data: bytes) -> None:
        """The kernel counts what is written."""
        self._refuse(path)
        path.write_bytes(data)
        count_up(path.parent)

    def read(self, path: Path, most: int) -> bytes:
        """The kernel makes the report when it is read."""
        self._refuse(path)
        if path.name == "outblob":
            self.other(path.parent)
            path.write_bytes(self.report((path.parent / "inblob").read_bytes()))
        return super().read(path, most)

    def _refuse(self, path: Path) -> None:
        if path.name in self.refused:
            raise OSError(self.refused[path.name], errno.errorcode[self.refused[path.name]])


def count_up(request: Path) -> None:
    """Count a write to a request."""
    count = int((request / "generation").read_text())
    (request / "generation").write_text(f"{count + 1}\n")
