"""The allow list, and how one comes to be on it."""

from __future__ import annotations

import base64
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from tests.federations import FederationFixture, now
from tests.parties import der, new_authority, signing_key
from tests.receipts import head

from hanse.aggregator.members.member_registry import CertificateLifetimes, MemberRegistry
from hanse.core.journal.membership import STREAM
from hanse.core.values.canonical import canonical_json
from hanse.core.values.identity import Party, Role
from hanse.core.values.statements import SignedStatement
from hanse.errors import CredentialError, PolicyError, RunError, TamperedError, TokenError, TrustError
from hanse.pki.certificates import peer_of, read_certificate
from hanse.pki.enrolment import Invitation, request_certificate
from hanse.pki.key_statements import enrolment_of, rotation_of
from hanse.pki.keys import PrivateKey, new_key, sign_bytes
from hanse.pki.signing_key import SigningKey
from hanse.storage.journal_memory import MemoryJournal

URL = "https://localhost:1"
HOUR = timedelta(hours=1)
D = Party("north", Role.COLLABORATOR, "d")


def request(party: Party = D, key: PrivateKey | None = None) -> str:
    return request_certificate(key or new_key(), party)


def enrolment(party: Party = D, key: SigningKey | None = None) -> SignedStatement:
    return enrolment_of(key or SigningKey.create(), party)


def token(registry: MemberRegistry, name: str = "d", token_id: str = "0" * 32) -> str:
    return registry.invite(name, Role.COLLABORATOR, url=URL, token_id=token_id, lifetime=HOUR)


def again(fixture: FederationFixture) -> MemberRegistry:
    """The registry as the next aggregator finds it."""
    return MemberRegistry(fixture.journal, fixture.authority, lifetimes=CertificateLifetimes(), clock=now)


class TestEnrolment:
    def test_a_token_is_traded_for_a_certificate_once(self, fixture: FederationFixture) -> None:
        invitation = token(fixture.registry)

        party, certificates = fixture.registry.enrol(invitation, request(), enrolment())

        assert party == D
        assert read_certificate(certificates.certificate)
        with pytest.raises(TokenError, match="used already"):
            fixture.registry.enrol(invitation, request(), enrolment())

    def test_a_token_stays_used_after_a_restart_and_a_removal(self, fixture: FederationFixture) -> None:
        invitation = token(fixture.registry)
        fixture.registry.enrol(invitation, request(), enrolment())
        fixture.registry.remove("d", "operator")

        with pytest.raises(TokenError, match="used already"):
            again(fixture).enrol(invitation, request(), enrolment())

    def test_the_first_of_two_tokens_for_a_name_counts(self, fixture: FederationFixture) -> None:
        first, second = (token(fixture.registry, token_id=digit * 32) for digit in "12")
        fixture.registry.enrol(first, request(), enrolment())

        with pytest.raises(TrustError, match="enrolled already"):
            fixture.registry.enrol(second, request(), enrolment())

    def test_a_name_in_use_is_not_invited(self, fixture: FederationFixture) -> None:
        with pytest.raises(TrustError, match="enrolled already"):
            token(fixture.registry, "a")

    def test_an_aggregator_is_neither_invited_nor_enrolled(self, fixture: FederationFixture) -> None:
        with pytest.raises(TrustError, match="hanse federation create"):
            fixture.registry.invite("d", Role.AGGREGATOR, url=URL, token_id="0" * 32, lifetime=HOUR)
        with pytest.raises(TrustError, match="hanse federation create"):
            fixture.registry.sign("d", Role.AGGREGATOR, request(), enrolment())

    def test_a_malformed_request_uses_up_nothing(self, fixture: FederationFixture) -> None:
        invitation = token(fixture.registry)
        with pytest.raises(CredentialError):
            fixture.registry.enrol(invitation, "no request", enrolment())

        assert fixture.registry.enrol(invitation, request(), enrolment())


class TestVoidInvitations:
    def test_a_removal_voids_a_second_invitation_that_was_not_used(self, fixture: FederationFixture) -> None:
        first, second = (token(fixture.registry, token_id=digit * 32) for digit in "12")
        fixture.registry.enrol(first, request(), enrolment())
        fixture.registry.remove("d", "operator")

        with pytest.raises(TokenError, match="before d was removed"):
            fixture.registry.enrol(second, request(), enrolment())

    def test_a_removal_voids_them_after_a_restart_too(self, fixture: FederationFixture) -> None:
        first, second = (token(fixture.registry, token_id=digit * 32) for digit in "12")
        fixture.registry.enrol(first, request(), enrolment())
        fixture.registry.remove("d", "operator")

        with pytest.raises(TokenError, match="before d was removed"):
            again(fixture).enrol(second, request(), enrolment())

    def test_an_invitation_of_after_the_removal_is_good(self, fixture: FederationFixture) -> None:
        fixture.registry.enrol(token(fixture.registry), request(), enrolment())
        fixture.registry.remove("d", "operator")

        assert fixture.registry.enrol(token(fixture.registry, token_id="1" * 32), request(), enrolment())

    def test_it_is_void_whatever_the_clock_said(
        self, fixture: FederationFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = token(fixture.registry, token_id="1" * 32)
        with monkeypatch.context() as ahead:
            ahead.setattr(fixture.registry, "_clock", lambda: now() + HOUR / 2)
            second = token(fixture.registry, token_id="2" * 32)
        fixture.registry.enrol(first, request(), enrolment())
        fixture.registry.remove("d", "operator")

        with pytest.raises(TokenError, match="before d was removed"):
            fixture.registry.enrol(second, request(), enrolment())

    def test_the_removal_of_another_party_voids_nothing(self, fixture: FederationFixture) -> None:
        invitation = token(fixture.registry)
        fixture.registry.remove("a", "operator")

        assert fixture.registry.enrol(invitation, request(), enrolment())

    def test_an_invitation_of_0_1_is_good_until_a_party_of_the_name_is_removed(
        self, fixture: FederationFixture
    ) -> None:
        first, second, third = (of_0_1(fixture, digit * 32) for digit in "123")
        assert fixture.registry.enrol(first, request(), enrolment())
        fixture.registry.remove("d", "operator")

        with pytest.raises(TokenError, match="before d was removed"):
            fixture.registry.enrol(second, request(), enrolment())
        fixture.registry.enrol(token(fixture.registry, token_id="4" * 32), request(), enrolment())
        fixture.registry.remove("d", "operator")
        with pytest.raises(TokenError, match="before d was removed"):
            fixture.registry.enrol(third, request(), enrolment())

    def test_an_invitation_that_names_a_record_of_another_membership_is_void(
        self, fixture: FederationFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registry = again(fixture)
        monkeypatch.setattr(registry, "_standing", replace(registry._standing, head=head(9)))
        invitation = token(registry)

        with pytest.raises(TokenError, match="restored from a backup"):
            fixture.registry.enrol(invitation, request(), enrolment())


def of_0_1(fixture: FederationFixture, token_id: str) -> str:
    """An invitation for d as version 0.1 wrote it: without the record of the membership."""
    invitation = Invitation(
        token_id=token_id,
        federation="north",
        role=Role.COLLABORATOR,
        name="d",
        url=URL,
        ca_fingerprint=fixture.authority.fingerprint,
        not_after=int((now() + HOUR).timestamp()),
    )
    body = invitation.model_dump(mode="json", exclude={"made", "members"})

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = f"hanse1.{encoded(canonical_json(body))}"
    return f"{signed}.{encoded(sign_bytes(fixture.authority.key, signed.encode()))}"


class TestAdmission:
    def test_a_party_is_known_by_its_certificate(self, fixture: FederationFixture) -> None:
        before = fixture.registry.seen_ms.get("a")

        assert fixture.registry.admit(der(fixture.credentials["a"])) == fixture.peer("a")
        assert before is None
        assert fixture.registry.seen_ms["a"] > 0

    def test_a_removed_party_is_not_admitted_though_it_was_before(self, fixture: FederationFixture) -> None:
        fixture.registry.admit(der(fixture.credentials["a"]))
        fixture.registry.remove("a", "operator")

        with pytest.raises(CredentialError, match="removed"):
            fixture.registry.admit(der(fixture.credentials["a"]))

    def test_a_certificate_of_another_authority_is_not_admitted(self, fixture: FederationFixture) -> None:
        certificate = new_authority().issue(
            new_key().public_key(), fixture.party("a"), now=now(), lifetime=HOUR
        )
        with pytest.raises(CredentialError):
            fixture.registry.admit(certificate.public_bytes(Encoding.DER))

    def test_what_admission_knows_of_a_party_is_what_its_certificate_says(
        self, fixture: FederationFixture
    ) -> None:
        certificate = fixture.credentials["a"].certificate

        peer = fixture.registry.admit(der(fixture.credentials["a"]))

        assert peer.party == fixture.party("a")
        assert peer.fingerprint == certificate.fingerprint(SHA256()).hex()
        assert peer.not_after_ms == certificate.not_valid_after_utc.timestamp() * 1000

    def test_a_certificate_that_was_good_is_not_after_its_time(
        self, fixture: FederationFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fixture.registry.admit(der(fixture.credentials["a"]))
        monkeypatch.setattr(fixture.registry._certificates, "_clock", lambda: now() + timedelta(days=8))

        with pytest.raises(CredentialError, match="expired"):
            fixture.registry.admit(der(fixture.credentials["a"]))


class TestRenewal:
    def test_both_certificates_are_good_after_it(self, fixture: FederationFixture) -> None:
        credentials = fixture.credentials["a"]
        fixture.registry.admit(der(credentials))

        issued = fixture.registry.renew(fixture.peer("a"), request(credentials.party, credentials.key))
        renewed = credentials.replace_certificate(issued.certificate, now())

        assert fixture.registry.admit(der(credentials)).party == fixture.registry.admit(der(renewed)).party

    def test_lost_replies_lock_nobody_out_also_after_a_restart(self, fixture: FederationFixture) -> None:
        credentials = fixture.credentials["a"]
        for _ in range(3):
            fixture.registry.admit(der(credentials))
            fixture.registry.renew(fixture.peer("a"), request(credentials.party, credentials.key))

        assert again(fixture).admit(der(credentials)).party == credentials.party

    def test_the_certificate_that_was_asked_with_stays_good(self, fixture: FederationFixture) -> None:
        credentials = fixture.credentials["a"]
        old = fixture.registry.admit(der(credentials))
        issued = fixture.registry.renew(old, request(credentials.party, credentials.key))
        new = peer_of(read_certificate(issued.certificate))

        fixture.registry.renew(old, request(credentials.party, credentials.key))

        known = fixture.registry.membership.member("a", Role.COLLABORATOR).certificates
        assert known[0] == old.fingerprint
        assert new.fingerprint not in known

    def test_a_peer_whose_certificate_was_replaced_meanwhile_gets_none(
        self, fixture: FederationFixture
    ) -> None:
        credentials = fixture.credentials["a"]
        peer = fixture.registry.admit(der(credentials))
        for _ in range(2):
            issued = fixture.registry.renew(peer, request(credentials.party, credentials.key))
            before, peer = peer, peer_of(read_certificate(issued.certificate))
        fixture.registry.renew(peer, request(credentials.party, credentials.key))

        with pytest.raises(CredentialError, match="replaced by a newer one"):
            fixture.registry.renew(before, request(credentials.party, credentials.key))

    def test_a_removed_party_gets_none(self, fixture: FederationFixture) -> None:
        fixture.registry.remove("a", "operator")

        with pytest.raises(CredentialError, match="removed"):
            fixture.registry.renew(fixture.peer("a"), request(fixture.party("a")))


class TestRemoval:
    def test_removing_twice_is_no_error_and_voids_the_invitations_of_between(
        self, fixture: FederationFixture
    ) -> None:
        fixture.enrolled("d")
        fixture.registry.remove("d", "operator")
        invitation = token(fixture.registry)

        fixture.registry.remove("d", "operator")

        with pytest.raises(TokenError, match="before d was removed"):
            fixture.registry.enrol(invitation, request(), enrolment())

    def test_invitations_of_a_name_that_never_joined_are_voided_on_request(
        self, fixture: FederationFixture
    ) -> None:
        invitation = token(fixture.registry)

        with pytest.raises(RunError, match="add --invited"):
            fixture.registry.remove("d", "operator")
        fixture.registry.remove("d", "operator", invited=True)

        with pytest.raises(TokenError, match="its invitations were voided"):
            again(fixture).enrol(invitation, request(), enrolment())
        party, _ = again(fixture).enrol(token(fixture.registry, token_id="1" * 32), request(), enrolment())
        assert party == D

    def test_the_last_operator_is_removed_only_by_force(self, fixture: FederationFixture) -> None:
        with pytest.raises(PolicyError, match=r"operator is the last operator .* --force"):
            fixture.registry.remove("operator", "operator")
        assert fixture.registry.membership.names(Role.OPERATOR) == ("operator",)

        fixture.registry.remove("operator", "operator", force=True)

        assert fixture.registry.membership.names(Role.OPERATOR) == ()

    def test_an_operator_who_is_not_the_last_one_is_removed(self, fixture: FederationFixture) -> None:
        fixture.enrolled("olga", Role.OPERATOR)

        fixture.registry.remove("olga", "operator")

        assert fixture.registry.membership.names(Role.OPERATOR) == ("operator",)

    def test_removing_a_stranger_tells_who_there_is(self, fixture: FederationFixture) -> None:
        with pytest.raises(RunError, match="enrolled are: a, b, c, operator"):
            fixture.registry.remove("z", "operator")


def test_a_list_of_members_that_was_altered_is_not_believed(fixture: FederationFixture) -> None:
    journal = MemoryJournal()
    journal.append(STREAM, [("PartyRemoved", {"name": "z", "by": "operator"})], time_ms=0)

    with pytest.raises(TamperedError, match="list of members"):
        MemberRegistry(journal, fixture.authority, lifetimes=CertificateLifetimes(), clock=now)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET body = replace(body, '\"a\"', '\"b\"') WHERE sequence = 1",
        "DELETE FROM records WHERE sequence = 2",
        "UPDATE records SET time_ms = time_ms - 1 WHERE sequence = 2",
    ],
)
def test_a_membership_that_was_changed_with_sqlite_is_not_believed(
    fixture: FederationFixture, statement: str
) -> None:
    fixture.registry.remove("a", "operator")
    with closing(sqlite3.connect(fixture.directory / "journal.db")) as database, database:
        assert database.execute(statement).rowcount == 1

    with pytest.raises(TamperedError, match=r"the list of members is damaged: record [123] of"):
        again(fixture)


class TestSigningKeys:
    def test_a_party_states_its_signing_key_when_it_enrols(self, fixture: FederationFixture) -> None:
        key = SigningKey.create()

        fixture.registry.enrol(token(fixture.registry), request(), enrolment(key=key))

        for registry in (fixture.registry, again(fixture)):
            member = registry.membership.member("d", Role.COLLABORATOR)
            assert (member.signing_key, member.key_at_enrolment) == (key.fingerprint, True)

    @pytest.mark.parametrize(
        "other", [Party("north", Role.COLLABORATOR, "e"), Party("north", Role.OPERATOR, "d")], ids=str
    )
    def test_a_key_of_another_party_enrols_nobody_and_uses_up_nothing(
        self, fixture: FederationFixture, other: Party
    ) -> None:
        invitation = token(fixture.registry)
        with pytest.raises(TrustError, match="speaks of"):
            fixture.registry.enrol(invitation, request(), enrolment(other))

        assert fixture.registry.enrol(invitation, request(), enrolment())

    def test_a_party_of_before_states_its_key_once(self, fixture: FederationFixture) -> None:
        registry, key = of_before(fixture), SigningKey.create()

        registry.record_signing_key(D, enrolment(key=key))

        for each in (registry, again(fixture)):
            member = each.membership.member("d", Role.COLLABORATOR)
            assert (member.signing_key, member.key_at_enrolment) == (key.fingerprint, False)
        with pytest.raises(CredentialError, match=f"recorded for d is {key.fingerprint}"):
            registry.record_signing_key(D, enrolment(key=SigningKey.create()))

    def test_a_key_that_is_stated_twice_is_recorded_once(self, fixture: FederationFixture) -> None:
        registry, key = of_before(fixture), SigningKey.create()
        registry.record_signing_key(D, enrolment(key=key))
        records = len(fixture.journal.read(STREAM))

        assert registry.record_signing_key(D, enrolment(key=key)) == key.fingerprint

        assert len(fixture.journal.read(STREAM)) == records

    def test_a_key_takes_the_place_of_the_one_that_signs_it(self, fixture: FederationFixture) -> None:
        old, new = signing_key(fixture.credentials["a"]), SigningKey.create()
        party = fixture.party("a")

        fixture.registry.record_signing_key(party, enrolment(party, new), rotation_of(old, new, party))

        member = again(fixture).membership.member("a", Role.COLLABORATOR)
        assert member.signing_key == new.fingerprint

    def test_a_key_that_the_recorded_one_did_not_sign_is_refused(self, fixture: FederationFixture) -> None:
        old, new, thief = signing_key(fixture.credentials["a"]), SigningKey.create(), SigningKey.create()
        party = fixture.party("a")

        for rotation in (None, rotation_of(thief, new, party), rotation_of(old, thief, party)):
            with pytest.raises(CredentialError, match="did not sign the key"):
                fixture.registry.record_signing_key(party, enrolment(party, new), rotation)

        assert fixture.registry.membership.parties["a"].signing_key == old.fingerprint

    def test_a_party_that_comes_back_after_its_removal_brings_a_key_of_its_own(
        self, fixture: FederationFixture
    ) -> None:
        fixture.registry.remove("a", "operator")
        party, key = fixture.party("a"), SigningKey.create()
        with pytest.raises(CredentialError, match="removed"):
            fixture.registry.record_signing_key(party, enrolment(party, key))

        fixture.registry.sign("a", Role.COLLABORATOR, request(party), enrolment(party, key))

        assert fixture.registry.membership.parties["a"].signing_key == key.fingerprint


def of_before(fixture: FederationFixture) -> MemberRegistry:
    """The registry of a federation in which d joined before there were signing keys."""
    body = {"name": "d", "role": "collaborator", "certificate": "0" * 64, "not_after_ms": 5}
    fixture.journal.append(STREAM, [("PartyEnrolled", body)], time_ms=5)
    return again(fixture)
