"""A running aggregator as its operators see it: runs, plans in, models out."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

from hanse.core.run.run import TERMINAL
from hanse.core.values.safe_text import one_line
from hanse.files.atomic import move_file
from hanse.files.errors import file_errors
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.api.run_routes import (
    ADMIT,
    EVENTS,
    EXPORT,
    REINSTATE,
    RESUME,
    RUN,
    RUNS,
    STOP,
    SUBMIT,
    EventsQuery,
)
from hanse.transport.client.address import FROM_ENVIRONMENT, Patience
from hanse.transport.client.connection import HttpsConnection
from hanse.transport.client.retry import Retry, retrying
from hanse.wire.messages.basics import Empty
from hanse.wire.messages.runs import (
    MOST_STOP_REASON,
    AdmitRequest,
    EventsReply,
    Runs,
    RunStatus,
    StopRequest,
    SubmitRequest,
)

_POLL_S = 30.0
_LARGEST_BLOB = 1 << 40
_BREATH_S = 0.125
"""Between two looks at a run where much is recorded: each takes some of the aggregator's time."""


class ControlClient:
    """Asks on behalf of an operator.

    A request is tried once: an operator who reads that the aggregator is away decides
    what to do. Transfers and `follow` go on through interruptions, as `retry` says.

    Args:
        url: `https://HOST[:PORT]` of the aggregator.
        ssl_context: From `hanse.pki.tls.client_context`, with an operator's credentials.
        proxy: `http://[USER:PASSWORD@]HOST:PORT`, `"env"` for what the environment says, None for none.
        retry: How to try again where that is done; its `on_retry` can say what is waited for.
        patience: How long to wait for the aggregator.

    Raises:
        ConfigError: An address is malformed.
    """

    def __init__(
        self,
        url: str,
        ssl_context: ssl.SSLContext,
        *,
        proxy: str | None = FROM_ENVIRONMENT,
        retry: Retry = Retry(),  # noqa: B008 - frozen
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self._connection = HttpsConnection(url, ssl_context, proxy=proxy, patience=patience)
        self._retry = retry

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._connection.close()

    async def runs(self) -> Runs:
        """List the runs, newest first."""
        return await self._connection.call(RUNS, Empty())

    async def submit(self, request: SubmitRequest) -> RunStatus:
        """Begin a run of a plan whose manifest and files were uploaded."""
        return await self._connection.call(SUBMIT, request)

    async def run(self, run_id: str) -> RunStatus:
        """One run as it stands."""
        return await self._connection.call(RUN, Empty(), run_id=run_id)

    async def stop(self, run_id: str, reason: str) -> RunStatus:
        """End a run.

        Args:
            run_id: Which.
            reason: For the journal; cut after 1000 characters.
        """
        request = StopRequest(reason=one_line(reason, MOST_STOP_REASON))
        return await self._connection.call(STOP, request, run_id=run_id)

    async def resume(self, run_id: str) -> RunStatus:
        """Take a stopped or failed run up again."""
        return await self._connection.call(RESUME, Empty(), run_id=run_id)

    async def reinstate(self, run_id: str, site: str) -> RunStatus:
        """Have a site asked again that was suspended."""
        return await self._connection.call(REINSTATE, Empty(), run_id=run_id, name=site)

    async def admit(self, run_id: str, site: str, reason: str) -> RunStatus:
        """Permit that another instance of a site gets the keys of a sealed run, once.

        Args:
            run_id: Which run.
            site: The site.
            reason: For the journal; cut after 1000 characters.
        """
        request = AdmitRequest(reason=one_line(reason, MOST_STOP_REASON))
        return await self._connection.call(ADMIT, request, run_id=run_id, name=site)

    async def events(self, run_id: str, after: int = 0, wait_s: float = 0.0) -> EventsReply:
        """Records of a run's journal after the one numbered `after`.

        Args:
            run_id: Which run.
            after: Number of the last record known; 0 for none.
            wait_s: Longest to wait for one where there is none, at most `MAX_WAIT_S`.
        """
        query = EventsQuery(after=after, wait_s=wait_s)
        return await self._connection.call(EVENTS, query, wait_s=wait_s, run_id=run_id)

    async def follow(self, run_id: str, after: int = 0) -> AsyncIterator[EventsReply]:
        """Follow a run to its end, also while the aggregator restarts.

        Yields the run as it stands at once, then whenever something was recorded, but no more
        often than can be watched, and at least every half minute; at last, of a run that is
        over, no records.
        """
        wait_s = 0.0
        while True:
            reply = await retrying(partial(self.events, run_id, after, wait_s), self._retry)
            yield reply
            over = reply.status.phase in TERMINAL
            if over and not reply.records:
                return
            if reply.records:
                after = reply.records[-1].sequence
            if not over and reply.records:
                await asyncio.sleep(_BREATH_S)
            wait_s = 0.0 if over else _POLL_S

    async def export(self, run_id: str, path: Path) -> None:
        """Write a run's journal with its seal to a file, JSON lines.

        Raises:
            StorageError: The file cannot be written.
        """
        await retrying(partial(self._connection.save, EXPORT, path, run_id=run_id), self._retry)

    async def upload(self, digest: str, source: Path | bytes, give_up_s: float | None = None) -> None:
        """Take a file or bytes to the aggregator as a blob.

        Args:
            digest: What it is called.
            source: What it is.
            give_up_s: Longest to try after a first failure; None for no end.
        """
        retry = replace(self._retry, give_up_s=give_up_s)
        await retrying(partial(self._connection.deliver, digest, source), retry)

    async def download(self, digest: str, path: Path) -> None:
        """Bring a blob, for example a model, into a file, which appears whole and verified or not at all.

        Raises:
            UpdateError: What came is not what its digest says.
            StorageError: The file cannot be written.
        """
        with file_errors(f"write beside {path}"):
            scratch = tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
        with scratch:
            blobs = FileBlobStore(Path(scratch.name))
            fetch = partial(self._connection.fetch, digest, blobs, owner="operator", max_bytes=_LARGEST_BLOB)
            blob = await retrying(fetch, self._retry)
            with file_errors(f"write {path}"):
                blob.chmod(0o644)
                move_file(blob, path)
