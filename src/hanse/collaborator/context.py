"""A site as its agent finds it: its folders, its settings, who it is, and the way to the aggregator."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hanse.collaborator.identity import Identity
from hanse.collaborator.outgoing_text import OutgoingText
from hanse.collaborator.plan_store import PlanStore
from hanse.collaborator.progress import cpu_time
from hanse.collaborator.site_journal import SiteJournal
from hanse.concurrency import in_thread
from hanse.config.layout import PLANS, RUNS
from hanse.config.settings import SiteSettings
from hanse.control.appraisal.options import EvidenceOptions
from hanse.core.journal.site_records import Release
from hanse.errors import PolicyError, StorageError, TamperedError, TransportError
from hanse.sandbox.process import StartsWorkers, WorkerProcess
from hanse.storage.base import ABANDONED_MS, BlobStore
from hanse.storage.disk_space import free_space
from hanse.transport.base import Upstream
from hanse.transport.client.retry import Retry, retrying

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SiteContext:
    """What every part of an agent works with.

    Attributes:
        directory: The site's folder.
        settings: What `site.yaml` says.
        identity: The site's credentials.
        upstream: The aggregator; one try a call.
        blobs: Where files lie on their way in and out.
        journal: Records what leaves the site.
        clock: Tells the time, with its zone.
        retry_policy: How soon to try again; without end.
        worker_process: Starts task workers.
        cpu_time_of: A sign of the progress of a worker, by its process id; see `Progress`.
        first_sign_s: When to tell the aggregator first that a task has begun, seconds.
        memory: The memory folder, for sealed runs; None where the settings ask for none.
        uncancellable_tasks: Tasks that deliver their final report; see `deliver_final`.
        remind_s: How often to log that a person has to act before anything leaves the site, seconds.
        randomness: Of the operating system; gives as many bytes as are asked for.
        sleep: Waits, seconds.
        look_s: How often to look if a person has answered a question, seconds.
        evidence: What the site shows of itself, and how it appraises the aggregator.
    """

    directory: Path
    settings: SiteSettings
    identity: Identity
    upstream: Upstream
    blobs: BlobStore
    journal: SiteJournal
    clock: Callable[[], datetime]
    retry_policy: Retry = Retry()  # noqa: RUF009 - frozen
    worker_process: StartsWorkers = WorkerProcess
    cpu_time_of: Callable[[int], object] = cpu_time
    first_sign_s: float = 1.0
    remind_s: float = 600.0
    randomness: Callable[[int], bytes] = os.urandom
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    look_s: float = 2.0
    evidence: EvidenceOptions = field(default_factory=EvidenceOptions)
    memory: Path | None = None
    uncancellable_tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _taking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def plans(self) -> PlanStore:
        """The plans that this site has seen."""
        return PlanStore(self.directory / PLANS)

    @property
    def outgoing_text(self) -> OutgoingText:
        """Makes text fit to leave this site."""
        return OutgoingText.of(self.directory, self.settings)

    def run_folder(self, run_id: str, *, sealed: bool = False) -> Path:
        """The folder of a run: of a sealed one in memory.

        Raises:
            PolicyError: The run is sealed, and this site has no sealed runs.
        """
        if not sealed:
            return self.directory / RUNS / run_id
        if self.memory is None:
            raise PolicyError(
                f"run {run_id} is sealed, and this site has no memory folder",
                mend="Set `sealed_memory` in site.yaml, and restart the agent.",
            )
        return self.memory / RUNS / run_id

    @property
    def now_ms(self) -> int:
        """The time, milliseconds since 1970."""
        return round(self.clock().timestamp() * 1000)

    async def retry(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it succeeds, or fails for good.

        Raises:
            HanseError: Not a `TransportError`.
        """
        return await retrying(call, self.retry_policy)

    async def retry_while_disk_full(self, call: Callable[[], Awaitable[T]]) -> T:
        """As `retry`, and wait for a full disk to be emptied too, be it here or at the aggregator."""
        return await self.retry(partial(_full_disk_may_pass, call))

    async def deliver_final(self, call: Callable[[], Awaitable[T]]) -> T:
        """As `retry_while_disk_full`, for a last word.

        Once it has that, the aggregator wants the task no more, which may be heard before
        its reply is here; that is no reason to break off.
        """
        task = asyncio.current_task()
        assert task is not None
        self.uncancellable_tasks.add(task)
        try:
            return await self.retry_while_disk_full(call)
        finally:
            self.uncancellable_tasks.discard(task)

    async def record(self, release: Release) -> None:
        """Record a release in the site's journal before its first byte leaves; a full disk is waited for."""
        await self.retry_while_disk_full(partial(asyncio.to_thread, self.journal.record, release))

    async def fetch(self, digest: str, max_bytes: int) -> Path:
        """Bring a blob here.

        Raises:
            StorageError: The disk here has too little room.
        """
        if self.blobs.has(digest):
            return self.blobs.path(digest)
        self.check_room(max_bytes)
        bring = partial(
            self.upstream.fetch, digest, self.blobs, owner=self.identity.site, max_bytes=max_bytes
        )
        return await self.retry(bring)

    async def take(self, digest: str, max_bytes: int, use: Callable[[Path], None]) -> None:
        """Bring a blob here, use it, and delete it.

        One at a time: of two runs that need the same, neither deletes what the other still needs.

        Raises:
            StorageError: The disk here has too little room.
        """

        def use_up() -> None:
            try:
                use(blob)
            finally:
                self.blobs.delete(digest)
                self.blobs.reclaim(keep=True)
                self._sweep()

        async with self._taking:
            try:
                blob = await self.fetch(digest, max_bytes)
            except BaseException:
                self.blobs.delete(digest)
                raise
            await in_thread(use_up)

    def drop_leftovers(self) -> None:
        """Delete what an agent before this one had brought here, and died before it could delete it.

        To be called before anything is brought. What came in part, and not long ago, stays, and is
        gone on with.
        """
        self._sweep()
        try:
            self.blobs.drop_unfinished()
            for digest in self.blobs.digests():
                self.blobs.delete(digest)
            self.blobs.reclaim()
        except StorageError as error:  # it only takes up space
            logger.warning("what an earlier agent left here stays: %s", error)

    def _sweep(self) -> None:
        try:
            self.blobs.sweep(self.now_ms - ABANDONED_MS)
        except StorageError as error:
            logger.warning("what came in part, and is not wanted any more, stays: %s", error)

    def check_room(self, num_bytes: int) -> None:
        """Refuse what would leave less of the disk free than the settings reserve.

        Raises:
            StorageError: There is too little room.
        """
        reserve = self.settings.disk_reserve
        free = free_space(self.directory, self.blobs, num_bytes + reserve)
        if free < num_bytes + reserve:
            raise StorageError(
                f"the disk of {self.directory} has {free} bytes free; {num_bytes} are needed on top of the "
                f"reserve of {reserve}",
                mend="Free some space, or lower `disk_reserve` in site.yaml.",
            )


async def _full_disk_may_pass(call: Callable[[], Awaitable[T]]) -> T:
    try:
        return await call()
    except TamperedError:
        raise
    except StorageError as error:
        raise TransportError(error.message, mend=error.mend) from error
