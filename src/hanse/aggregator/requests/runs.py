"""Requests of operators about runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hanse.aggregator.export import JournalExporter
from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.aggregator.receipts.restores import Restores
from hanse.aggregator.run_registry import RunRegistry
from hanse.core.plan.manifest import Manifest
from hanse.core.run.evidence.commands import AdmitInstance
from hanse.core.run.lifecycle import Stop
from hanse.core.run.run import TERMINAL
from hanse.core.run.suspension import Reinstate
from hanse.core.values.peer import Peer
from hanse.core.values.safe_text import outgoing_line
from hanse.core.values.schema import Strict
from hanse.errors import PlanError
from hanse.files.errors import file_errors
from hanse.storage.base import BlobStore, Journal
from hanse.wire.messages.basics import MAX_MESSAGE, encode
from hanse.wire.messages.runs import (
    AdmitRequest,
    EventsReply,
    JournalRecord,
    Runs,
    RunStatus,
    StopRequest,
    SubmitRequest,
)
from hanse.wire.tensors import read_specs

M = TypeVar("M", bound=Strict)

MAX_MANIFEST = MAX_MESSAGE // 2
"""Longest manifest of a plan, bytes: it stands in the journal, whose records travel in messages."""
_RECORDS_A_REPLY = 200
_SLACK = 4_096
"""Bytes of a reply that are neither records nor a status."""
_NAMES_NONE: Mapping[str, Any] = {"answers": {}, "awaited": (), "attendance": (), "suspended": ()}
"""Fields of a status that name sites, without them."""


class ControlRequests:
    """Serves the requests of `hanse.transport.service.RunHandler`."""

    def __init__(
        self,
        registry: MemberRegistry,
        run_registry: RunRegistry,
        journal: Journal,
        blobs: BlobStore,
        exports: JournalExporter,
        restores: Restores,
    ) -> None:
        self._registry = registry
        self._run_registry = run_registry
        self._journal = journal
        self._blobs = blobs
        self._exports = exports
        self._restores = restores

    async def submit(self, peer: Peer, request: SubmitRequest) -> RunStatus:
        """Begin a run."""
        self._restores.check()
        manifest = await asyncio.to_thread(self._manifest, request.plan_digest)
        controller = await self._run_registry.begin(manifest, request, peer.party.name)
        self._run_registry.retention.release(peer.party)
        return self._run_registry.status(controller)

    async def runs(self, peer: Peer) -> Runs:
        """List the runs, newest first: as many as fit in a message."""
        found = sorted(self._run_registry.all(), key=lambda c: c.run.submitted_ms, reverse=True)
        return Runs(runs=tuple(_fitting((self._run_registry.status(c) for c in found), MAX_MESSAGE - _SLACK)))

    async def run(self, peer: Peer, run_id: str) -> RunStatus:
        """One run as it stands."""
        return self._run_registry.status(self._run_registry.find(run_id))

    async def events(self, peer: Peer, run_id: str, after: int, wait_s: float) -> EventsReply:
        """Records of a run's journal after `after`, waiting for one where there is none."""
        controller = self._run_registry.find(run_id)

        def look() -> bool | None:
            # It may be removed while it waits.
            self._registry.membership.member(peer.party.name, peer.party.role)
            return controller.events > after or controller.run.phase in TERMINAL or None

        await self._run_registry.signals.until([run_id, peer.party.name], look, wait_s)
        status = self._run_registry.status(controller)
        records = await asyncio.to_thread(self._journal.read, run_id, after=after, limit=_RECORDS_A_REPLY)
        written = [JournalRecord.model_validate(record.as_json()) for record in records]
        room = MAX_MESSAGE - _SLACK - len(encode(status))
        if written and len(encode(written[0])) > room:  # a plan's manifest, beside a status that names many
            status = status.model_copy(update=_NAMES_NONE)
            room = MAX_MESSAGE - _SLACK - len(encode(status))
        return EventsReply(records=tuple(_fitting(written, room)), status=status)

    async def stop(self, peer: Peer, run_id: str, request: StopRequest) -> RunStatus:
        """End a run."""
        self._restores.check()
        controller = self._run_registry.find(run_id)
        await controller.execute(Stop(peer.party.name, request.reason))
        return self._run_registry.status(controller)

    async def resume(self, peer: Peer, run_id: str) -> RunStatus:
        """Take a stopped or failed run up again."""
        self._restores.check()
        return self._run_registry.status(await self._run_registry.resume(run_id, peer.party.name))

    async def reinstate(self, peer: Peer, run_id: str, site: str) -> RunStatus:
        """Have a site asked again that was suspended."""
        self._restores.check()
        controller = self._run_registry.find(run_id)
        await controller.execute(Reinstate(site, peer.party.name))
        return self._run_registry.status(controller)

    async def admit(self, peer: Peer, run_id: str, site: str, request: AdmitRequest) -> RunStatus:
        """Permit that another instance of a site gets the keys of a sealed run."""
        self._restores.check()
        controller = self._run_registry.find(run_id)
        await controller.execute(AdmitInstance(site, peer.party.name, outgoing_line(request.reason, 1_000)))
        return self._run_registry.status(controller)

    async def export(self, peer: Peer, run_id: str) -> Path:
        """Write the run's journal with its seal to a file."""
        controller = self._run_registry.find(run_id)
        if self._restores.notice is None:
            await self._run_registry.name_restore(controller)
        return await asyncio.to_thread(self._exports.write, run_id)

    def _manifest(self, digest: str) -> Manifest:
        """The manifest of a plan that was uploaded with all its files.

        Raises:
            PlanError: Something of it is missing, or not what the manifest says.
        """
        if self._size(digest, f"plan {digest[:12]}") > MAX_MANIFEST:
            raise PlanError(
                f"plan {digest[:12]} has more than {MAX_MANIFEST} bytes",
                mend="Put long `options` into a file under `code`.",
            )
        with file_errors(f"read plan {digest[:12]}"):
            data = self._blobs.path(digest).read_bytes()
        manifest = Manifest.from_bytes(data, digest)
        initial = () if manifest.initial_model is None else (manifest.initial_model,)
        for file in (*manifest.files, *initial):
            if self._size(file.sha256, file.path) != file.size:
                raise PlanError(f"{file.path} does not have the {file.size} bytes that the plan states")
        if manifest.plan.sealed is not None:
            self._run_registry.sealed.check(manifest)
            return manifest
        for file in initial:
            read_specs(self._blobs.path(file.sha256))
        return manifest

    def _size(self, digest: str, what: str) -> int:
        if not self._blobs.has(digest):
            raise PlanError(f"{what} was not uploaded", mend="Upload the manifest and all its files first.")
        return self._blobs.size(digest)


def _fitting(messages: Iterable[M], room: int) -> Iterator[M]:
    """As many messages from the first on as fit into so many bytes; at least one."""
    for number, message in enumerate(messages):
        room -= len(encode(message)) + 1
        if number and room < 0:
            return
        yield message
