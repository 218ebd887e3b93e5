"""Blobs that runs need and the disk has lost: the runs end, and no site counts as failed for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from hanse.aggregator.blobs.retention import references
from hanse.aggregator.run.controller import RunController
from hanse.core.run.lifecycle import Fail
from hanse.core.run.run import TERMINAL
from hanse.errors import HanseError, InternalError, RunError, StorageError
from hanse.storage.base import BlobStore

logger = logging.getLogger(__name__)


def lost_blobs(needed: Iterable[str], blobs: BlobStore) -> list[str]:
    """Those of some blobs that are not there, in order."""
    return sorted(digest for digest in needed if not blobs.has(digest))


class LostBlobs:
    """Ends runs under way that need a blob which is not there.

    Without it, each site that asks for the blob would have failed. Belongs to the event loop.

    Args:
        blobs: Where they should be.
        alive: The runs that are not over.
    """

    def __init__(self, blobs: BlobStore, alive: Callable[[], Iterable[RunController]]) -> None:
        self._blobs = blobs
        self._alive = alive
        self._ending: dict[str, asyncio.Task[None]] = {}

    def missing(self, digest: str) -> HanseError:
        """End the runs that need a blob; the error for the party that asked for the blob."""
        needing = [each for each in self._alive() if digest in references(each.run)]
        for controller in needing:
            self._end(controller, digest)
        what = f"blob {digest} is missing from the aggregator's folder"
        if needing:
            return InternalError(f"{what}; the run that needs it ends")
        return StorageError(what, mend=_mend(digest))

    def look(self, run_id: str) -> None:
        """End a run if anything that it needs is missing."""
        for controller in self._alive():
            if controller.run.run_id == run_id and (
                lost := lost_blobs(references(controller.run), self._blobs)
            ):
                self._end(controller, lost[0])

    def _end(self, controller: RunController, digest: str) -> None:
        run_id = controller.run.run_id
        if run_id not in self._ending:
            task = asyncio.get_running_loop().create_task(self._fail(controller, digest))
            self._ending[run_id] = task
            task.add_done_callback(lambda _: self._ending.pop(run_id, None))

    async def _fail(self, controller: RunController, digest: str) -> None:
        if controller.run.phase in TERMINAL or self._blobs.has(digest):
            return
        reason = f"the aggregator's disk has lost the blob {digest}, which the run needs. {_mend(digest)}"
        logger.error("run %s cannot continue: %s", controller.run.run_id, reason)
        with suppress(RunError, StorageError):  # it ended meanwhile; or the next request for it tries again
            await controller.execute(Fail(StorageError.code, reason))


def _mend(digest: str) -> str:
    return f"Put a copy of blobs/{digest[:2]}/{digest} back, and resume the run"
