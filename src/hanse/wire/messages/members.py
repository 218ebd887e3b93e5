"""Messages about members: enrolment, certificates and invitations."""

from __future__ import annotations

from pydantic import Field

from hanse.core.journal.restores import RestoreNotice
from hanse.core.values.identity import Role
from hanse.core.values.schema import Digest, Name, Strict
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.wire.messages.basics import Time

MOST_PEERS = 1_000
"""Sites in one reply; each takes up to 160 of the bytes that a message has."""


class EnrolRequest(Strict):
    """A site's one-time token and the certificate signing request for the key it made.

    Attributes:
        enrolment: The party's statement of its signing key, signed with that key.
    """

    token: str = Field(max_length=4_096)
    csr: str = Field(max_length=8_192)
    enrolment: SignedStatement


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
        invited: Void the invitations of a name of which no party was ever enrolled too.
    """

    force: bool = False
    invited: bool = False


class RestoreReply(Strict):
    """A restore of the aggregator from a backup, as one of its own receipts shows it.

    Attributes:
        notice: What shows it; None where no restore waits to be acknowledged.
        sites: Number of sites in the federation.
        sites_heard: Number of those that have shown their receipts since the aggregator started.
    """

    notice: RestoreNotice | None = None
    sites: int = Field(0, ge=0)
    sites_heard: int = Field(0, ge=0)


class AcknowledgeRequest(Strict):
    """An operator's signed acknowledgement of a restore; see `hanse.core.journal.restores`."""

    statement: CertifiedStatement


class SignRequest(Strict):
    """Enrol a party from its certificate signing request, carried here by hand.

    Attributes:
        enrolment: The party's statement of its signing key, signed with that key.
    """

    name: Name
    role: Role = Role.COLLABORATOR
    csr: str = Field(max_length=8_192)
    enrolment: SignedStatement


class SigningKeyRequest(Strict):
    """Record a party's signing key, where it has none or with the signature of the one it has.

    Sending it twice changes nothing.

    Attributes:
        enrolment: The party's statement of the key, signed with that key.
        rotation: The same, signed with the key that is recorded; None where there is none.
    """

    enrolment: SignedStatement
    rotation: SignedStatement | None = None


class SigningKeyReply(Strict):
    """The signing key that is recorded for a party.

    Attributes:
        fingerprint: Of the key; None where none is recorded.
    """

    fingerprint: Digest | None = None


class PeersQuery(Strict):
    """A query for sites of the federation; stands in the query string.

    Attributes:
        after: Name after which the list continues; empty for the first part.
    """

    after: str = Field("", max_length=63)


class PeerKey(Strict):
    """A site of the federation, as the aggregator states it to other members.

    Attributes:
        signing_key: Fingerprint of its signing key; None where it has stated none.
    """

    name: Name
    signing_key: Digest | None = None


class PeerKeys(Strict):
    """Sites of the federation that are not removed, in order of their names.

    Attributes:
        peers: At most `MOST_PEERS`.
        more: Whether further ones follow.
    """

    peers: tuple[PeerKey, ...] = Field(max_length=MOST_PEERS)
    more: bool = False


class Member(Strict):
    """An enrolled party.

    Attributes:
        seen_ms: Last contact since the aggregator started; None for never.
        not_after_ms: When its present certificate ends.
        signing_key: Fingerprint of its signing key; None where it has stated none.
        key_at_enrolment: Whether it stated a signing key when it enrolled, and not later.
    """

    name: str
    role: Role
    removed: bool = False
    seen_ms: Time | None = None
    not_after_ms: Time
    signing_key: Digest | None = None
    key_at_enrolment: bool = False


class Members(Strict):
    """All parties ever enrolled."""

    members: tuple[Member, ...]
