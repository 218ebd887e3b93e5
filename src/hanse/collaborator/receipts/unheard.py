"""Restores of the aggregator that the site's agent has not heard of yet."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cryptography import x509

from hanse.collaborator.receipts.notes import KNOWN, NOTICED, NotedRestore, noted_restore, write_note
from hanse.collaborator.receipts.store import ReceiptStore
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import TrustError
from hanse.pki.credentials import Credentials
from hanse.pki.receipts import verify_acknowledgement, verify_receipt
from hanse.transport.base import Upstream
from hanse.wire.messages.sites import ReceiptsRequest


async def note_unheard_restore(
    directory: Path, credentials: Credentials, upstream: Upstream, now_ms: int
) -> bool:
    """Ask the aggregator whether it was restored since the site was connected last; the agent is stopped.

    Args:
        directory: The site's folder.
        credentials: The site's.
        upstream: The aggregator; the site's receipts are shown to it.
        now_ms: The time, milliseconds since 1970.

    Returns:
        Whether a restore is noted now that a person of the site has to acknowledge.

    Raises:
        TrustError: The aggregator claims a restore, and its proof does not hold.
        StorageError: An operator has to act first, or the folder cannot be read or written.
        HanseError: The aggregator could not be asked.
    """
    shown = await asyncio.to_thread(ReceiptStore(directory).shown)
    if not shown:
        return False  # nothing to compare: see `ReceiptKeeper`
    reply = await upstream.receipts(ReceiptsRequest(receipts=shown))
    record = verify_receipt(reply.receipt, credentials.authority).restored
    known = noted_restore(directory, KNOWN)
    if record is None or (known is not None and known.record == record):
        return False
    verify_restore(reply.restored, known, credentials.authority)
    note = NotedRestore(record=record, statement=reply.restored, noticed_ms=now_ms)
    write_note(directory, NOTICED, note)
    return True


def verify_restore(
    statement: CertifiedStatement | None, known: NotedRestore | None, authority: x509.Certificate
) -> None:
    """Check that an operator acknowledged a restore after the one that the site knows.

    Args:
        statement: The operator's, as the aggregator gives it.
        known: The last restore that the site knows; None for none.
        authority: The certificate of the federation's authority.

    Raises:
        ProtocolError: The statement is malformed.
        TrustError: There is none, no operator signed it, or it is about an earlier restore.
    """
    if statement is None:
        raise TrustError("no operator's statement came with it")
    said, _ = verify_acknowledgement(statement, authority)
    before = None if known is None else known.stated()
    if before is not None and said.time_ms <= before.time_ms:
        raise TrustError("the operator's statement is not a new one")
