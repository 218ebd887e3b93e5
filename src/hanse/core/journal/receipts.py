"""Receipts: an aggregator's signed word on how far its journals had come, which sites keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from hanse.core.journal.chain import ChainHead
from hanse.core.journal.membership import STREAM
from hanse.core.values.schema import Digest, Name, Strict, problem_of
from hanse.errors import ProtocolError

RECEIPT = "hanse receipt 1"
"""Purpose of an aggregator's signature on a receipt."""


def _of_run(stream: str) -> str:
    if stream == STREAM:
        raise ValueError("that is the membership, and not a run")
    return stream


_RunId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$"), AfterValidator(_of_run)]

Place = tuple[str, int]
"""A stream of a journal, and the number of a record in it."""


class ReceivedOutcome(Strict):
    """An outcome that the aggregator has recorded.

    Attributes:
        outcome: SHA-256 of the canonical JSON of what the site stated.
        journal: The last record of the run's journal; that of the outcome is among those before it, or it.
        known: The record that the last receipt named which the site holds of this run; None for none.
    """

    run_id: _RunId
    exchange: int = Field(ge=1)
    outcome: Digest
    journal: ChainHead
    known: ChainHead | None = None


class Receipt(Strict):
    """The last records of the membership and, where the site sent an outcome, of the run's journal.

    Attributes:
        site: Site that got the receipt.
        members: The last record of the membership.
        restored: The last record in it of a restore that an operator acknowledged; None where there is none.
        received: The outcome; None in a receipt for an agent that has just connected.
        time_ms: When it was signed, milliseconds since 1970.
    """

    federation: Name
    site: Name
    members: ChainHead
    restored: ChainHead | None = None
    received: ReceivedOutcome | None = None
    time_ms: int = Field(ge=0, le=2**53)

    def records(self) -> Iterable[tuple[Place, str]]:
        """The records that the receipt names, each with its digest."""
        for head in (self.members, self.restored):
            if head is not None:
                yield (STREAM, head.sequence), head.digest
        if self.received is not None:
            for head in (self.received.journal, self.received.known):
                if head is not None:
                    yield (self.received.run_id, head.sequence), head.digest


def read_receipt(body: Mapping[str, Any]) -> Receipt:
    """Read what an aggregator stated.

    Raises:
        ProtocolError: It is not a receipt.
    """
    try:
        return Receipt.model_validate(body)
    except ValidationError as error:
        raise ProtocolError(f"malformed receipt: {problem_of(error)}") from None
