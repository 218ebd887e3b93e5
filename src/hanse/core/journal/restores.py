"""Restores of the aggregator from a backup: noticed by its own receipts, acknowledged by an operator."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationError

from hanse.core.journal.chain import ChainHead
from hanse.core.journal.membership import STREAM
from hanse.core.values.schema import Name, Strict, problem_of
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.errors import ProtocolError

RESTORE = "hanse aggregator restored 1"
"""Purpose of an operator's signatures on the acknowledgement of a restore."""
MOST_REASON_CHARS = 4_096

_Stream = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]


class LostRecord(Strict):
    """A record that the aggregator has signed, and whose journal does not have it.

    Attributes:
        stream: The journal: a run's id, or `federation` for the membership.
        heard: The record, as the aggregator itself signed it.
        own: The last record that the journal has; None where there is none.
        site: Site that holds the receipt.
    """

    stream: _Stream
    heard: ChainHead
    own: ChainHead | None
    site: Name

    def __str__(self) -> str:
        journal = "the membership" if self.stream == STREAM else f"run {self.stream}"
        last = "does not exist here" if self.own is None else f"ends with record {self.own.sequence} here"
        return (
            f"{self.site} holds a receipt, signed by this aggregator, that names record "
            f"{self.heard.sequence} of the journal of {journal}, which {last} and does not have it"
        )


class RestoreNotice(Strict):
    """A restore that was noticed and that no operator has acknowledged.

    Attributes:
        lost: What shows it.
        receipt: The aggregator's own receipt, which names the record.
        noticed_ms: When, milliseconds since 1970.
    """

    lost: LostRecord
    receipt: CertifiedStatement
    noticed_ms: int = Field(ge=0, le=2**53)

    def __str__(self) -> str:
        return f"the aggregator was restored from a backup: {self.lost}"


class RestoreAcknowledgement(Strict):
    """An operator's statement to acknowledge a restore.

    Attributes:
        lost: What shows that records are missing.
        reason: A sentence for the journals; may be empty.
        time_ms: When, milliseconds since 1970.
    """

    federation: Name
    operator: Name
    lost: LostRecord
    reason: str = Field("", max_length=MOST_REASON_CHARS)
    time_ms: int = Field(ge=0, le=2**53)


def read_acknowledgement(statement: CertifiedStatement) -> tuple[RestoreAcknowledgement, SignedStatement]:
    """Read what an operator stated, whose signatures are not checked here.

    Returns:
        The acknowledgement, and the statement that the operator's signing key has signed; the certificate of
        the operator signs that statement in turn.

    Raises:
        ProtocolError: It is malformed.
    """
    try:
        signed = SignedStatement.model_validate(statement.body)
        return RestoreAcknowledgement.model_validate(signed.body), signed
    except ValidationError as error:
        raise ProtocolError(f"malformed acknowledgement of a restore: {problem_of(error)}") from None
