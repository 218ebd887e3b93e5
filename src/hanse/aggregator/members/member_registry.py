"""Enrolment, renewal and removal: the allow list, kept in the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hanse.aggregator.members.verified_certificates import VerifiedCertificates
from hanse.core.journal.chain import ChainHead, Record, check_chain
from hanse.core.journal.membership import (
    STREAM,
    CertificateRenewed,
    InvitationsVoided,
    Membership,
    MembershipEvent,
    PartyEnrolled,
    PartyRemoved,
    Restored,
    join,
    read_membership_event,
)
from hanse.core.journal.signing_keys import SigningKeyRegistered, SigningKeyRotated
from hanse.core.values.identity import Party, Role, check_name
from hanse.core.values.peer import Peer
from hanse.core.values.statements import SignedStatement
from hanse.errors import CredentialError, PolicyError, RunError, TamperedError, TokenError, TrustError
from hanse.pki.authority import Authority
from hanse.pki.certificates import peer_of, pem_of
from hanse.pki.enrolment import Invitation, invite, read_csr, verify_token
from hanse.pki.key_statements import check_enrolment, check_rotation
from hanse.pki.signing_key import ANOTHER_KEY
from hanse.storage.base import Journal
from hanse.wire.messages.members import Certificates


@dataclass(frozen=True, slots=True)
class CertificateLifetimes:
    """How long certificates last before their holders have to renew them."""

    collaborator: timedelta = timedelta(days=7)
    operator: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Issued:
    """A new certificate, and what the journal keeps of it."""

    certificates: Certificates
    peer: Peer


_COPY = "Put back a copy of the journal."


@dataclass(frozen=True, slots=True)
class _Standing:
    """The membership after its last record."""

    membership: Membership = Membership()  # noqa: RUF009 - frozen
    head: ChainHead | None = None
    restored: tuple[ChainHead, Restored] | None = None

    def after(self, record: Record, event: MembershipEvent) -> _Standing:
        head = ChainHead.of(record)
        restored = (head, event) if isinstance(event, Restored) else self.restored
        return _Standing(join(self.membership, event), head, restored)


def _read_standing(journal: Journal) -> _Standing:
    """Follow the journal's list of members to its end, and verify its chain.

    Raises:
        TamperedError: A record is missing, altered, or cannot be read; says which.
    """
    records = journal.read(STREAM)
    standing = _Standing()
    try:
        check_chain(records)
        for record in records:
            standing = standing.after(record, read_membership_event(record.kind, record.body))
    except ValueError as error:
        raise TamperedError(f"the list of members cannot be read: {error}", mend=_COPY) from error
    except TamperedError as error:
        raise TamperedError(f"the list of members is damaged: {error.message}", mend=_COPY) from error
    return standing


class MemberRegistry:
    """Who belongs to the federation, and how one comes to.

    Works on the journal alone, so that a stopped aggregator's directory can
    be administered too. Methods may be called from any thread.

    Attributes:
        seen_ms: When each party was last admitted, milliseconds since 1970.
        guard: Called before each change, except for the acknowledgement of a restore; raises where nothing
            may be changed.
    """

    def __init__(
        self,
        journal: Journal,
        authority: Authority,
        *,
        lifetimes: CertificateLifetimes,
        clock: Callable[[], datetime],
    ) -> None:
        self._journal = journal
        self._authority = authority
        self._lifetimes = lifetimes
        self._clock = clock
        self._lock = threading.Lock()
        self._standing = _read_standing(journal)
        self._certificates = VerifiedCertificates(authority.certificate, clock)
        self.seen_ms: dict[str, int] = {}
        self.guard: Callable[[], None] = _permit

    @property
    def federation(self) -> str:
        """Name of the federation."""
        return self._authority.federation

    @property
    def membership(self) -> Membership:
        """The allow list as it stands."""
        return self._standing.membership

    @property
    def head(self) -> ChainHead | None:
        """The last record of the membership; None of one without records."""
        return self._standing.head

    @property
    def restored(self) -> tuple[ChainHead, Restored] | None:
        """The last restore that an operator acknowledged, with its record; None where there was none."""
        return self._standing.restored

    def holds(self, head: ChainHead) -> bool:
        """Check if a record is in the membership; its last one is known without reading."""
        if head == self.head:
            return True
        found = self._journal.read(STREAM, after=head.sequence - 1, limit=1)
        return bool(found) and ChainHead.of(found[0]) == head

    def admit(self, certificate_der: bytes) -> Peer:
        """Say who shows this certificate, if it is good and the party on the allow list now.

        Raises:
            CredentialError: It is not.
        """
        peer = self._certificates.peer(certificate_der)
        self.membership.admit(peer.party.name, peer.party.role, peer.fingerprint)
        self.seen_ms[peer.party.name] = self._now_ms()
        return peer

    def invite(self, name: str, role: Role, *, url: str, token_id: str, lifetime: timedelta) -> str:
        """Write a one-time invitation for a party that is not enrolled."""
        with self._lock:
            self.membership.may_enrol(check_name(name), None)
            head = self.head
        if role is Role.AGGREGATOR:
            raise TrustError("an aggregator is made by `hanse federation create`, not invited")
        party = Party(self._authority.federation, role, name)
        now = self._clock()
        return invite(
            self._authority, party, url, token_id=token_id, now=now, lifetime=lifetime, members=head
        )

    def enrol(self, token: str, csr: str, enrolment: SignedStatement) -> tuple[Party, Certificates]:
        """Trade an invitation for a certificate; it is used up when this returns.

        Args:
            token: The invitation.
            csr: The request for the certificate.
            enrolment: The party's statement of its signing key.

        Raises:
            TokenError: The invitation is forged, expired or used.
            TrustError: The signing key is not the party's own.
        """
        invitation = verify_token(self._authority.certificate, token, self._clock())
        if invitation.members is not None and not self.holds(invitation.members):
            raise TokenError(
                f"the invitation for {invitation.name} names a record that this federation does not have: it "
                "was made before the aggregator was restored from a backup",
                mend="Ask the operator for a new one.",
            )
        return self._sign(invitation.party, csr, enrolment, invitation)

    def sign(self, name: str, role: Role, csr: str, enrolment: SignedStatement) -> tuple[Party, Certificates]:
        """Enrol a party whose request an operator carried here by hand; see `enrol`."""
        return self._sign(Party(self._authority.federation, role, check_name(name)), csr, enrolment, None)

    def record_signing_key(
        self, party: Party, enrolment: SignedStatement, rotation: SignedStatement | None = None
    ) -> str:
        """Record a party's first signing key, or its next one; the same again changes nothing.

        Args:
            party: Whose key it is.
            enrolment: The party's statement of the key, signed with that key.
            rotation: The same, signed with the key that is recorded.

        Returns:
            Fingerprint of the key that is recorded now.

        Raises:
            CredentialError: The party does not belong to the federation, or another key is recorded for it
                and did not sign this one.
            TrustError: A statement was altered, or is another party's.
        """
        key = check_enrolment(enrolment, party)
        with self._lock:
            recorded = self.membership.member(party.name, party.role).signing_key
            if recorded == key:
                return key
            if recorded is None:
                self._append(SigningKeyRegistered(name=party.name, enrolment=enrolment))
                return key
            if rotation is None or check_rotation(rotation, party) != (recorded, key):
                raise CredentialError(
                    f"the signing key that is recorded for {party.name} is {recorded}, and it did not sign "
                    f"the key {key}",
                    mend=ANOTHER_KEY,
                )
            self._append(SigningKeyRotated(name=party.name, rotation=rotation, enrolment=enrolment))
        return key

    def renew(self, peer: Peer, csr: str) -> Certificates:
        """Give an enrolled party its next certificate.

        The certificate that the peer shows stays good: if the reply is lost, the peer asks again.

        Raises:
            CredentialError: The party was removed, the peer's certificate was replaced meanwhile, or
                the request is not one for a certificate.
        """
        party = peer.party
        with self._lock:
            self.membership.admit(party.name, party.role, peer.fingerprint)
            issued = self._issue(party, csr)
            self._append(
                CertificateRenewed(
                    name=party.name,
                    certificate=issued.peer.fingerprint,
                    not_after_ms=issued.peer.not_after_ms,
                    asked_with=peer.fingerprint,
                )
            )
        return issued.certificates

    def remove(self, name: str, by: str, *, force: bool = False, invited: bool = False) -> None:
        """Take a party off the allow list, and void its invitations; removing it twice is no error.

        A second removal is recorded too: it voids the invitations that were made since the first.

        Args:
            name: The party.
            by: The operator who removes it.
            force: Remove the last operator too.
            invited: Void the invitations of a name of which no party was ever enrolled too.

        Raises:
            RunError: No party of that name was ever enrolled.
            PolicyError: It is the last operator.
        """
        with self._lock:
            party = self.membership.parties.get(name)
            if party is None:
                if invited:
                    self._append(InvitationsVoided(name=check_name(name), by=by))
                    return
                known = ", ".join(sorted(self.membership.parties)) or "no party"
                raise RunError(
                    f"no party named {name} is enrolled; enrolled are: {known}",
                    mend=f"To void the invitations for {name}, add --invited.",
                )
            if not force and self.membership.names(Role.OPERATOR) == (name,):
                raise PolicyError(
                    f"{name} is the last operator of the federation, which no operator could then administer",
                    mend="Invite another operator first (`hanse federation invite NAME --role operator`), or "
                    "add --force: with the aggregator stopped, its folder can still be administered.",
                )
            self._append(PartyRemoved(name=name, by=by))

    def acknowledge_restore(self, event: Restored) -> ChainHead:
        """Record that an operator acknowledged a restore; the record, by its name."""
        with self._lock:
            return self._append(event)

    def _sign(
        self, party: Party, csr: str, enrolment: SignedStatement, invitation: Invitation | None
    ) -> tuple[Party, Certificates]:
        if party.role is Role.AGGREGATOR:
            raise TrustError("an aggregator is made by `hanse federation create`, not enrolled")
        check_enrolment(enrolment, party)
        with self._lock:
            token_id = None
            if invitation is not None:
                token_id = invitation.token_id
            self.membership.may_enrol(party.name, token_id)
            if invitation is not None:
                self.membership.check_invited(party.name, invitation.members)
            issued = self._issue(party, csr)
            self._append(
                PartyEnrolled(
                    name=party.name,
                    role=party.role,
                    certificate=issued.peer.fingerprint,
                    not_after_ms=issued.peer.not_after_ms,
                    token_id=token_id,
                    enrolment=enrolment,
                )
            )
        return party, issued.certificates

    def _issue(self, party: Party, csr: str) -> Issued:
        lifetime = self._lifetimes.operator if party.role is Role.OPERATOR else self._lifetimes.collaborator
        certificate = self._authority.issue(read_csr(csr), party, now=self._clock(), lifetime=lifetime)
        return Issued(
            Certificates(certificate=pem_of(certificate), authority=pem_of(self._authority.certificate)),
            peer_of(certificate),
        )

    def _append(self, event: MembershipEvent) -> ChainHead:
        if not isinstance(event, Restored):
            self.guard()
        body = event.model_dump(mode="json", exclude={"kind"})
        (record,) = self._journal.append(STREAM, [(event.kind, body)], time_ms=self._now_ms())
        self._standing = self._standing.after(record, event)
        return ChainHead.of(record)

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)


def _permit() -> None:
    """Let the membership be changed."""
