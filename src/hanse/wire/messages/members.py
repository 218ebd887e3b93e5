"""Messages about members: enrolment, certificates and invitations."""

from __future__ import annotations

from pydantic import Field

from hanse.core.values.identity import Role
from hanse.core.values.schema import Name, Strict
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
