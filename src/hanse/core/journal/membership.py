"""Who belongs to a federation: a fold over the journal's stream `federation`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from hanse.core.journal.chain import ChainHead
from hanse.core.journal.signing_keys import SigningKeyRegistered, SigningKeyRotated
from hanse.core.values.identity import Role
from hanse.core.values.schema import Digest, Strict
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.errors import CredentialError, TamperedError, TokenError, TrustError

STREAM = "federation"
"""Name of the journal's stream that keeps the members; no run can have it as its id."""


class PartyEnrolled(Strict):
    """A party's key was signed for the first time.

    Attributes:
        certificate: SHA-256 of the certificate (DER).
        token_id: The invitation it came with; None when an operator carried the request by hand.
        enrolment: The party's statement of its signing key, signed with that key; None before 0.2.
    """

    kind: Literal["PartyEnrolled"] = "PartyEnrolled"
    name: str
    role: Role
    certificate: Digest
    not_after_ms: int
    token_id: str | None = None
    enrolment: SignedStatement | None = None


class CertificateRenewed(Strict):
    """A party got its next certificate; the one that it asked with stays good until it ends.

    Attributes:
        asked_with: The certificate that it asked with. If the reply is lost, it has no other.
    """

    kind: Literal["CertificateRenewed"] = "CertificateRenewed"
    name: str
    certificate: Digest
    not_after_ms: int
    asked_with: Digest


class PartyRemoved(Strict):
    """A party was taken off the allow list."""

    kind: Literal["PartyRemoved"] = "PartyRemoved"
    name: str
    by: str


class InvitationsVoided(Strict):
    """An operator voided the invitations for a name of which no party was ever enrolled."""

    kind: Literal["InvitationsVoided"] = "InvitationsVoided"
    name: str
    by: str


class Restored(Strict):
    """An operator acknowledged that records are missing: the aggregator was restored from a backup.

    Attributes:
        statement: The operator's signed statement; see `hanse.core.journal.restores`.
    """

    kind: Literal["Restored"] = "Restored"
    by: str
    statement: CertifiedStatement


MembershipEvent = (
    PartyEnrolled
    | CertificateRenewed
    | PartyRemoved
    | InvitationsVoided
    | SigningKeyRegistered
    | SigningKeyRotated
    | Restored
)

_INVITE_AGAIN = "Ask the operator for a new one."

_ANY: TypeAdapter[MembershipEvent] = TypeAdapter(Annotated[MembershipEvent, Field(discriminator="kind")])


def read_membership_event(kind: str, body: dict[str, Any]) -> MembershipEvent:
    """Read an event from a journal record.

    Raises:
        ValueError: This version knows no such event.
    """
    return _ANY.validate_python({"kind": kind, **body})


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One party.

    Attributes:
        certificates: Digests of the certificates that it may use; the latest last, at most two.
        not_after_ms: When the latest ends, milliseconds since 1970.
        signing_key: Fingerprint of the party's signing key; None where it has stated none, as before 0.2.
        key_at_enrolment: Whether the party stated a signing key when it enrolled, and not later.
    """

    name: str
    role: Role
    certificates: tuple[str, ...]
    not_after_ms: int
    removed: bool = False
    signing_key: str | None = None
    key_at_enrolment: bool = False


@dataclass(frozen=True, slots=True)
class Membership:
    """The allow list of a federation.

    Attributes:
        records: Number of events.
        removals: Number of the last record by which a name was removed, or its invitations were voided.
        restore: Number of the last acknowledged restore; 0 where there was none.
    """

    parties: Mapping[str, Enrolled] = field(default_factory=dict)
    tokens_used: frozenset[str] = frozenset()
    records: int = 0
    removals: Mapping[str, int] = field(default_factory=dict)
    restore: int = 0

    def names(self, role: Role) -> tuple[str, ...]:
        """Parties in a role that are not removed, in order."""
        found = (p.name for p in self.parties.values() if p.role is role and not p.removed)
        return tuple(sorted(found))

    def member(self, name: str, role: Role) -> Enrolled:
        """Find a party that belongs to the federation now.

        Raises:
            CredentialError: It is unknown in this role, or removed.
        """
        party = self.parties.get(name)
        if party is None or party.role is not role:
            raise CredentialError(
                f"no {role} named {name} is enrolled here", mend="Join with a new invitation."
            )
        if party.removed:
            raise CredentialError(
                f"{name} was removed from the federation", mend="Ask its operator for a new invitation."
            )
        return party

    def admit(self, name: str, role: Role, certificate: str) -> None:
        """Let a party in.

        Raises:
            CredentialError: It is unknown, removed, or shows a certificate that was replaced.
        """
        if certificate not in self.member(name, role).certificates:
            raise CredentialError(
                f"the certificate of {name} was replaced by a newer one",
                mend="Another copy of this site may be running; use only the newest, or join again.",
            )

    def check_invited(self, name: str, made: ChainHead | None) -> None:
        """Check that nothing has happened since an invitation was made that voids it.

        The order is that of the records and not of the clock, which may have been set back.

        Args:
            name: The name that was invited.
            made: The last record when the invitation was made; None in one of 0.1, which does not say.

        Raises:
            TokenError: A party of the name was removed or its invitations were voided since, or the
                aggregator was restored from a backup.
        """
        place = 0 if made is None else made.sequence
        if self.restore > place:
            raise TokenError(
                f"the invitation for {name} was made before the aggregator was restored from a backup, and "
                "may have been used already",
                mend=_INVITE_AGAIN,
            )
        if self.removals.get(name, 0) > place:
            raise TokenError(
                f"the invitation for {name} was made before {name} was removed from the federation, or "
                "its invitations were voided",
                mend=_INVITE_AGAIN,
            )

    def may_enrol(self, name: str, token_id: str | None) -> None:
        """Check that a name and an invitation are still free.

        Raises:
            TokenError: The invitation was used before.
            TrustError: A party of that name is enrolled.
        """
        if token_id is not None and token_id in self.tokens_used:
            raise TokenError(
                f"the invitation for {name} was used already",
                mend="If another party used it, or a join was ended before it was done, the operator runs "
                f"`hanse federation remove {name}` and `hanse federation invite {name}`.",
            )
        if name in self.parties and not self.parties[name].removed:
            raise TrustError(
                f"a party named {name} is enrolled already",
                mend=f"Use another name, or `hanse federation remove {name}` first.",
            )


def join(membership: Membership, event: MembershipEvent) -> Membership:
    """Apply one event.

    Raises:
        TamperedError: It is of a party that was never enrolled; no federation writes such a journal.
    """
    records = membership.records + 1
    if isinstance(event, Restored):
        return replace(membership, records=records, restore=records)
    if isinstance(event, InvitationsVoided):
        return replace(membership, records=records, removals={**membership.removals, event.name: records})
    if not isinstance(event, PartyEnrolled) and event.name not in membership.parties:
        raise TamperedError(
            f"the journal's list of members has {event.kind} of {event.name[:80]!r}, which was never enrolled"
        )
    parties = dict(membership.parties)
    tokens, removals = membership.tokens_used, membership.removals
    match event:
        case PartyEnrolled():
            parties[event.name] = _enrolled(event)
            if event.token_id is not None:
                tokens = tokens | {event.token_id}
        case CertificateRenewed():
            parties[event.name] = replace(
                parties[event.name],
                certificates=(event.asked_with, event.certificate),
                not_after_ms=event.not_after_ms,
            )
        case PartyRemoved():
            parties[event.name] = replace(parties[event.name], removed=True)
            removals = {**removals, event.name: records}
        case SigningKeyRegistered() | SigningKeyRotated():
            parties[event.name] = replace(parties[event.name], signing_key=event.enrolment.claimed_signer)
    return replace(membership, parties=parties, tokens_used=tokens, records=records, removals=removals)


def _enrolled(event: PartyEnrolled) -> Enrolled:
    stated = event.enrolment
    return Enrolled(
        event.name,
        event.role,
        (event.certificate,),
        event.not_after_ms,
        signing_key=None if stated is None else stated.claimed_signer,
        key_at_enrolment=stated is not None,
    )


def members(events: Iterable[MembershipEvent]) -> Membership:
    """Fold events into the allow list."""
    membership = Membership()
    for event in events:
        membership = join(membership, event)
    return membership
