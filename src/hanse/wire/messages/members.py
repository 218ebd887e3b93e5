"""Messages about members: enrolment, certificates and invitations."""

from __future__ import annotations

from pydantic import Field

from hanse.core.journal.restores import RestoreNotice
from hanse.core.values.identity import Role
from hanse.core.values.schema import Name, Strict
from hanse.core.values.statements import CertifiedStatement
from hanse.wire.messages.basics import Time


class EnrolRequest(Strict):
    """A site's one-time token and the certificate signing request for the key it made."""

    token: str = Field(max_length=4_096)
    csr: str = Field(max_length=8_192)


class RenewRequest(Strict):
    """A request for the next certificate, by a party that still has a valid one."""

    csr: str = Field(max_length=8_192)


class Certificates(Strict):
    """A party's certificate and its federation's authority, PEM."""

    certificate: str = Field(max_length=16_384)
    authority: str = Field(max_length=16_384)


class InviteRequest(Strict):
    """Make a one-time token."""

    name: Name
    role: Role = Role.COLLABORATOR
    lifetime_s: float = Field(86_400.0, gt=0, le=30 * 86_400.0)


class InviteReply(Strict):
    """A one-time token."""

    token: str


class RemoveRequest(Strict):
    """Take a party off the allow list.

    Attributes:
        force: Even if it is the last operator.
    """

    force: bool = False


class RestoreReply(Strict):
    """A restore of the aggregator from a backup, as one of its own receipts shows it.

    Attributes:
        notice: What shows it; None where no restore waits to be acknowledged.
    """

    notice: RestoreNotice | None = None


class AcknowledgeRequest(Strict):
    """An operator's signed acknowledgement of a restore; see `hanse.core.journal.restores`."""

    statement: CertifiedStatement


class SignRequest(Strict):
    """Enrol a party from its certificate signing request, carried here by hand."""

    name: Name
    role: Role = Role.COLLABORATOR
    csr: str = Field(max_length=8_192)


class Member(Strict):
    """An enrolled party.

    Attributes:
        seen_ms: Last contact since the aggregator started; None for never.
        not_after_ms: When its present certificate ends.
    """

    name: str
    role: Role
    removed: bool = False
    seen_ms: Time | None = None
    not_after_ms: Time


class Members(Strict):
    """All parties ever enrolled."""

    members: tuple[Member, ...]
