"""Deletion of what ended runs left at a site: their folders, and plans that no run wants any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hanse.collaborator.context import SiteContext
from hanse.collaborator.plan_store import PlanStore
from hanse.collaborator.run_folder import ended_at
from hanse.config.layout import PLANS, RUNS
from hanse.config.settings import SiteRetention
from hanse.errors import StorageError
from hanse.files.deleting import delete_tree
from hanse.files.errors import file_errors

logger = logging.getLogger(__name__)

_EVERY_S = 3600.0
"""Between two looks of an agent."""


@dataclass(frozen=True, slots=True)
class Prunable:
    """Something that a site need not keep.

    Attributes:
        path: What is deleted.
        what: What it is, for people.
        unused_s: How long it has not been used, seconds.
        num_bytes: Bytes of the files in it.
    """

    path: Path
    what: str
    unused_s: float
    num_bytes: int

    def delete(self) -> None:
        """Delete it; what cannot be deleted stays."""
        delete_tree(self.path)


def prunable(directory: Path, keep: SiteRetention, now: datetime) -> Iterator[Prunable]:
    """Find what is older than it has to be kept; nothing of runs that the aggregator wants something for.

    Args:
        directory: The site's folder; its agent may run.
        keep: How long to keep what; None for ever.
        now: The time, with its zone.

    Raises:
        StorageError: The folder cannot be read.
    """
    plans, now_s = PlanStore(directory / PLANS), now.timestamp()
    with file_errors(f"look through {directory}"):
        wanted = {run for digest in plans.digests() for run in plans.runs(digest)}
        for folder in sorted((directory / RUNS).glob("*/")):
            ended = ended_at(folder)
            if keep.runs is None or ended is None or folder.name in wanted or now_s - ended <= keep.runs:
                continue
            yield Prunable(folder, f"run {folder.name}", now_s - ended, _bytes_in(folder))
        for digest in plans.digests():
            unused_s = now_s - plans.used_at(digest)
            if keep.plans is None or plans.runs(digest) or unused_s <= keep.plans:
                continue
            # A person's word stays: without it a rule could decide otherwise the next time.
            path = plans.bundle(digest) if plans.decided_by_person(digest) else plans.bundle(digest).parent
            if path.exists():
                what = "code of plan" if path.name == "bundle" else "plan"
                yield Prunable(path, f"{what} {digest[:12]}", unused_s, _bytes_in(path))


async def keep_pruned(context: SiteContext) -> None:
    """Delete what `retention` in site.yaml does not keep, again and again, until cancelled."""
    keep = context.settings.retention
    if keep == SiteRetention():
        return
    while True:
        try:
            await asyncio.to_thread(_prune, context.directory, keep, context.clock())
        except StorageError as error:  # it only takes up space
            logger.warning("what ended runs left cannot be deleted now: %s", error)
        await asyncio.sleep(_EVERY_S)


def _prune(directory: Path, keep: SiteRetention, now: datetime) -> None:
    for found in prunable(directory, keep, now):
        found.delete()
        logger.info("deleted %s, not used for %.1f days", found.what, found.unused_s / 86_400)


def _bytes_in(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
