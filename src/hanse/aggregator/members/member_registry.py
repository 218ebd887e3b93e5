"""Enrolment, renewal and removal: the allow list, kept in the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hanse.core.journal.membership import (
    STREAM,
    CertificateRenewed,
    Membership,
    MembershipEvent,
    PartyEnrolled,
    PartyRemoved,
    join,
    members,
    read_membership_event,
)
from hanse.core.journal.signing_keys import SigningKeyRegistered, SigningKeyRotated
from hanse.core.values.identity import Party, Role, check_name
from hanse.core.values.peer import Peer
from hanse.core.values.statements import SignedStatement
from hanse.errors import CredentialError, RunError, TamperedError, TrustError
from hanse.pki.authority import Authority
from hanse.pki.certificates import peer_of, pem_of, read_der, verify_certificate
from hanse.pki.enrolment import invite, read_csr, verify_token
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


_MOST_KNOWN = 4_096
"""Verified certificates that are remembered."""


@dataclass(frozen=True, slots=True)
class _Vouched:
    """A certificate that the authority signed, and the time in which it is good."""

    peer: Peer
    begin: datetime
    end: datetime


class MemberRegistry:
    """Who belongs to the federation, and how one comes to.

    Works on the journal alone, so that a stopped aggregator's directory can
    be administered too. Methods may be called from any thread.

    Attributes:
        seen_ms: When each party was last admitted, milliseconds since 1970.
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
        self._membership = self._load()
        self._known: dict[bytes, _Vouched] = {}
        self.seen_ms: dict[str, int] = {}

    @property
    def membership(self) -> Membership:
        """The allow list as it stands."""
        return self._membership

    def admit(self, certificate_der: bytes) -> Peer:
        """Say who shows this certificate, if it is good and the party on the allow list now.

        Raises:
            CredentialError: It is not.
        """
        known = self._known.get(certificate_der)
        if known is None or not known.begin <= self._clock() <= known.end:
            known = self._known[certificate_der] = self._vouched(certificate_der)
        peer = known.peer
        self._membership.admit(peer.party.name, peer.party.role, peer.fingerprint)
        self.seen_ms[peer.party.name] = self._now_ms()
        return peer

    def _vouched(self, certificate_der: bytes) -> _Vouched:
        """Verify a certificate; costs a signature check, and so is done once for each."""
        certificate = read_der(certificate_der)
        verify_certificate(certificate, self._authority.certificate, self._clock())
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return _Vouched(peer_of(certificate), begin, end)

    def invite(self, name: str, role: Role, *, url: str, token_id: str, lifetime: timedelta) -> str:
        """Write a one-time invitation for a party that is not enrolled."""
        with self._lock:
            self._membership.may_enrol(check_name(name), None)
        if role is Role.AGGREGATOR:
            raise TrustError("an aggregator is made by `hanse federation create`, not invited")
        party = Party(self._authority.federation, role, name)
        return invite(self._authority, party, url, token_id=token_id, now=self._clock(), lifetime=lifetime)

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
        return self._sign(invitation.party, csr, enrolment, invitation.token_id)

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
            recorded = self._membership.member(party.name, party.role).signing_key
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
            self._membership.admit(party.name, party.role, peer.fingerprint)
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

    def remove(self, name: str, by: str) -> None:
        """Take a party off the allow list; removing it twice is no error.

        Raises:
            RunError: Nobody of that name was ever enrolled.
        """
        with self._lock:
            party = self._membership.parties.get(name)
            if party is None:
                known = ", ".join(sorted(self._membership.parties)) or "no party"
                raise RunError(f"no party named {name} is enrolled; enrolled are: {known}")
            if not party.removed:
                self._append(PartyRemoved(name=name, by=by))

    def _sign(
        self, party: Party, csr: str, enrolment: SignedStatement, token_id: str | None
    ) -> tuple[Party, Certificates]:
        if party.role is Role.AGGREGATOR:
            raise TrustError("an aggregator is made by `hanse federation create`, not enrolled")
        check_enrolment(enrolment, party)
        with self._lock:
            self._membership.may_enrol(party.name, token_id)
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

    def _append(self, event: MembershipEvent) -> None:
        body = event.model_dump(mode="json", exclude={"kind"})
        self._journal.append(STREAM, [(event.kind, body)], time_ms=self._now_ms())
        self._membership = join(self._membership, event)

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)

    def _load(self) -> Membership:
        try:
            return members(read_membership_event(r.kind, r.body) for r in self._journal.read(STREAM))
        except ValueError as error:
            raise TamperedError(f"the journal's list of members cannot be read: {error}") from error
