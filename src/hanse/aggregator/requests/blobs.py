"""Requests that move blobs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from hanse.aggregator.options import Options
from hanse.aggregator.receipts.restores import Restores
from hanse.aggregator.requests.access import MayWork, check_may_read, upload_limit
from hanse.aggregator.run.site_work import VectorBytes
from hanse.aggregator.run_registry import RunRegistry
from hanse.core.values.peer import Peer
from hanse.errors import PolicyError, StorageError
from hanse.storage.base import BlobStore, BlobWriter
from hanse.storage.disk_space import free_space
from hanse.transport.service import OpenUpload
from hanse.wire.messages.basics import BlobState


class TransferRequests:
    """Serves the requests of `hanse.transport.service.BlobHandler`."""

    def __init__(
        self,
        run_registry: RunRegistry,
        blobs: BlobStore,
        options: Options,
        restores: Restores,
        vector_bytes: VectorBytes,
        may_work: MayWork,
    ) -> None:
        self._may_work = may_work
        self._run_registry = run_registry
        self._restores = restores
        self._blobs = blobs
        self._options = options
        self._vector_bytes = vector_bytes

    def blob_to_send(self, peer: Peer, digest: str) -> Path:
        """Where a blob is that this party may have."""
        offered = self._run_registry.model_deltas.find(digest)
        states = self._run_registry.states()
        if offered is not None:  # whoever may have the model may have what makes it
            check_may_read(peer, offered.model.digest, states, self._may_work)
            return offered.path
        check_may_read(peer, digest, states, self._may_work)
        if not self._blobs.has(digest):
            raise self._run_registry.lost_blobs.missing(digest)
        return self._blobs.path(digest)

    def blob_state(self, peer: Peer, digest: str) -> BlobState:
        """How much of this party's upload is here."""
        self._run_registry.retention.claim(peer.party, digest)
        if self._blobs.has(digest):
            return BlobState(complete=True, offset=self._blobs.size(digest))
        return BlobState(complete=False, offset=self._blobs.partial_size(digest, peer.party.name))

    def blob_to_take(self, peer: Peer, digest: str, size: int) -> OpenUpload | None:
        """What begins or resumes an upload that this party may make."""
        self._restores.check()
        self._run_registry.retention.claim(peer.party, digest)
        if self._blobs.has(digest):
            return None
        states, most = self._run_registry.states(), self._options.max_blob
        limit = upload_limit(peer, states, self._blobs.size, most, self._vector_bytes, self._may_work)
        if size > limit:
            raise PolicyError(
                f"{peer.party.name} wants to upload {size} bytes; the limit is {limit}",
                mend="An update cannot be larger than the model it changes; `limits: max_blob` in "
                "aggregator.yaml bounds everything else.",
            )
        return partial(self._open, peer.party.name, digest, size)

    def _open(self, owner: str, digest: str, size: int) -> BlobWriter:
        self._check_room(size - self._blobs.partial_size(digest, owner))
        return self._blobs.write(digest, owner, size)

    def _check_room(self, size: int) -> None:
        reserve = self._options.disk_reserve
        free = free_space(self._options.directory, self._blobs, size + reserve)
        if free < size + reserve:
            raise StorageError(
                f"the aggregator's disk has {free} bytes free; {size} bytes more would leave less than the "
                f"reserve of {reserve}",
                mend="The operator must free space; the upload then resumes.",
            )
