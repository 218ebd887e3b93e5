"""Blobs of a running aggregator, kept beside it: the aggregator deletes what a round no longer needs."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

_PAUSE_S = 0.002


async def keep_blobs(source: Path, target: Path) -> None:
    """Link each blob into another folder of the same form, until it is cancelled.

    Looks again and again, so that a blob may be missed that is deleted soon after it was made.

    Args:
        source: Folder of the aggregator.
        target: Folder to link to, on the same disk.
    """
    kept: set[str] = set()
    while True:
        await asyncio.to_thread(link_new, source / "blobs", target / "blobs", kept)
        await asyncio.sleep(_PAUSE_S)


def link_new(source: Path, target: Path, kept: set[str]) -> None:
    """Link blobs that are not linked yet.

    Args:
        source: Folder with a folder for each first two digits of a digest.
        target: Folder to link to.
        kept: Names of the blobs that are linked; takes in the new ones.
    """
    for blob in source.glob("??/*"):
        if blob.name in kept:
            continue
        place = target / blob.parent.name / blob.name
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError, FileNotFoundError):  # it was deleted meanwhile
            os.link(blob, place)
            kept.add(blob.name)
