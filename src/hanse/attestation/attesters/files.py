"""Files of devices: bounded, in one piece, with errors in words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hanse.attestation.base import MAX_LOG
from hanse.errors import ConfigError, EvidenceError

_BLOCK = 64 * 1024


class DeviceFiles:
    """Access to the files of a device; tests give others that play the kernel."""

    def make_folder(self, path: Path) -> None:
        """Make a folder; of configfs, the kernel fills it with files."""
        path.mkdir(mode=0o700)

    def remove_folder(self, path: Path) -> None:
        """Remove such a folder; of configfs, with the files that the kernel put there."""
        path.rmdir()

    def read(self, path: Path, most: int) -> bytes:
        """All bytes of a file, and one more than `most` where it has more."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = b""
            # Such files have no size, and give as much a read as they like.
            while len(found) <= most and (block := os.read(descriptor, min(_BLOCK, most + 1 - len(found)))):
                found += block
            return found
        finally:
            os.close(descriptor)

    def write(self, path: Path, data: bytes) -> None:
        """Write all bytes at once: the kernel takes each write as a whole."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = os.write(descriptor, data)
        finally:
            os.close(descriptor)
        if written != len(data):
            raise OSError(errno.EIO, f"only {written} of {len(data)} bytes were taken")


def read_log(path: Path | None, name: str, files: DeviceFiles | None = None) -> bytes:
    """Read a log that goes along with evidence.

    Args:
        path: The file; None for no log.
        name: The log in words, such as `log of the firmware`.
        files: Access to the file.

    Returns:
        The log; empty where there is to be none.

    Raises:
        ConfigError: The file cannot be read, or is empty.
        EvidenceError: The log is longer than a verifier takes.
    """
    if path is None:
        return b""
    try:
        data = (files or DeviceFiles()).read(path, MAX_LOG)
    except OSError as error:
        raise ConfigError(
            f"{name}: cannot read {path}: {error.strerror}",
            mend="Check the path and the right to read the file, or leave the log out of the settings.",
        ) from None
    if not data:
        raise ConfigError(f"{name}: {path} is empty", mend="Leave the log out of the settings.")
    if len(data) > MAX_LOG:
        raise EvidenceError(
            f"{name}: {path} has more than {MAX_LOG} bytes, and no verifier takes a longer log",
            mend="Leave the log out, or restart the machine if the log has grown since its start.",
        )
    return data
