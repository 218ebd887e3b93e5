"""Memory for the files of sealed runs, as the settings ask for it, at the start of an agent or a service."""

from __future__ import annotations

import logging
from pathlib import Path

from hanse.config.layout import SEALED
from hanse.sandbox.sealed.core_dumps import refuse_core_dumps
from hanse.sandbox.sealed.memory_folder import MemoryFolder, enter_memory_folder, swap_areas

logger = logging.getLogger(__name__)


def begin_sealed_memory(directory: Path, max_bytes: int | None) -> MemoryFolder | None:
    """Have memory for the files of sealed runs, and leave no core dump; nothing without such a setting.

    To be called first: the command may be started again, with the same process id.

    Args:
        directory: Folder of the site or the federation.
        max_bytes: `sealed_memory` of the settings.

    Raises:
        ConfigError: This machine permits no such thing; says what is lacking.
        StorageError: The folder cannot be made.
    """
    if max_bytes is None:
        return None
    folder = enter_memory_folder(directory / SEALED, max_bytes)
    refuse_core_dumps()
    areas = swap_areas()
    if areas:
        kept = "the memory of processes" if not folder.may_be_swapped else "files of sealed runs"
        logger.warning("the kernel may write %s to a swap area: %s", kept, ", ".join(areas))
    return folder
