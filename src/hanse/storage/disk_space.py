"""How much room a disk has."""

from __future__ import annotations

import shutil
from pathlib import Path

from hanse.files.errors import file_errors
from hanse.storage.base import BlobStore


def free_space(directory: Path, blobs: BlobStore, needed: int) -> int:
    """Bytes free on the disk of a directory; deleted blobs are let go of where that is too little.

    Args:
        directory: Any on the disk.
        blobs: Which are on the same one.
        needed: Bytes.

    Raises:
        StorageError: The disk cannot be asked.
    """
    with file_errors(f"ask for the free space of {directory}"):
        free = shutil.disk_usage(directory).free
        if free < needed:
            blobs.reclaim()
            free = shutil.disk_usage(directory).free
    return free
