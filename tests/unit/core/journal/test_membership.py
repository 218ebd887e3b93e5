"""Who belongs to a federation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.journal.membership import (
    CertificateRenewed,
    Membership,
    MembershipEvent,
    PartyEnrolled,
    PartyRemoved,
    join,
    members,
    read_membership_event,
)
from hanse.core.values.identity import Role
from hanse.errors import CredentialError, TamperedError, TokenError, TrustError

FIRST, SECOND, THIRD, FOURTH = (digit * 64 for digit in "1234")
SITE = Role.COLLABORATOR


def enrolled(name: str = "a", certificate: str = FIRST, **more: str) -> PartyEnrolled:
    return PartyEnrolled(name=name, role=SITE, certificate=certificate, not_after_ms=1_000, **more)


def renewed(certificate: str, asked_with: str) -> CertificateRenewed:
    return CertificateRenewed(name="a", certificate=certificate, not_after_ms=2_000, asked_with=asked_with)


REMOVED = PartyRemoved(name="a", by="operator")


class TestAdmission:
    def test_a_party_is_admitted_with_the_certificate_it_was_enrolled_with(self) -> None:
        members([enrolled()]).admit("a", SITE, FIRST)

    @pytest.mark.parametrize(
        ("name", "role", "certificate", "words"),
        [
            ("z", SITE, FIRST, "no collaborator named z"),
            ("a", Role.OPERATOR, FIRST, "no operator named a"),
            ("a", SITE, SECOND, "replaced"),
        ],
    )
    def test_nobody_else_is(self, name: str, role: Role, certificate: str, words: str) -> None:
        with pytest.raises(CredentialError, match=words):
            members([enrolled()]).admit(name, role, certificate)

    def test_a_removed_party_is_not_admitted_any_more(self) -> None:
        with pytest.raises(CredentialError, match="removed"):
            members([enrolled(), REMOVED]).admit("a", SITE, FIRST)

    def test_a_removed_party_comes_back_with_its_new_certificate_only(self) -> None:
        membership = members([enrolled(), REMOVED, enrolled(certificate=SECOND)])

        membership.admit("a", SITE, SECOND)
        with pytest.raises(CredentialError, match="replaced"):
            membership.admit("a", SITE, FIRST)


class TestRenewal:
    def test_the_certificate_it_asked_with_stays_good(self) -> None:
        membership = members([enrolled(), renewed(SECOND, asked_with=FIRST)])

        membership.admit("a", SITE, FIRST)
        membership.admit("a", SITE, SECOND)

    def test_replies_lost_again_and_again_lock_nobody_out(self) -> None:
        lost = [renewed(certificate, asked_with=FIRST) for certificate in (SECOND, THIRD, FOURTH)]

        members([enrolled(), *lost]).admit("a", SITE, FIRST)

    def test_an_older_certificate_is_replaced(self) -> None:
        membership = members(
            [enrolled(), renewed(SECOND, asked_with=FIRST), renewed(THIRD, asked_with=SECOND)]
        )

        with pytest.raises(CredentialError, match="Another copy"):
            membership.admit("a", SITE, FIRST)

    def test_the_latest_certificate_says_how_long_the_party_is_known(self) -> None:
        assert members([enrolled(), renewed(SECOND, FIRST)]).parties["a"].not_after_ms == 2_000


class TestEnrolment:
    def test_a_name_in_use_is_not_free(self) -> None:
        with pytest.raises(TrustError, match="enrolled already"):
            members([enrolled()]).may_enrol("a", None)

    def test_the_name_of_a_removed_party_is_free_again(self) -> None:
        members([enrolled(), REMOVED]).may_enrol("a", None)

    def test_an_invitation_is_good_once_even_after_its_party_was_removed(self) -> None:
        membership = members([enrolled(token_id="t1"), REMOVED])

        membership.may_enrol("a", "t2")
        with pytest.raises(TokenError, match="used already"):
            membership.may_enrol("a", "t1")


def test_names_lists_those_of_one_role_who_are_not_removed_in_order() -> None:
    membership = members([enrolled("c"), enrolled("a"), enrolled("b"), REMOVED])

    assert membership.names(SITE) == ("b", "c")
    assert membership.names(Role.OPERATOR) == ()


def test_a_member_is_found_by_name_and_role_whatever_it_shows() -> None:
    assert members([enrolled()]).member("a", SITE).certificates == (FIRST,)


events = st.lists(
    st.one_of(
        st.builds(enrolled, st.sampled_from("ab"), st.sampled_from([FIRST, SECOND])),
        st.sampled_from("ab").map(lambda name: PartyRemoved(name=name, by="operator")),
    ),
    max_size=8,
).map(lambda drawn: [enrolled("a"), enrolled("b"), *drawn])


@given(events)
def test_an_event_is_the_same_after_the_journal(drawn: list[MembershipEvent]) -> None:
    read = [read_membership_event(e.kind, e.model_dump(mode="json", exclude={"kind"})) for e in drawn]

    assert members(read) == members(drawn)


@given(events)
def test_joining_leaves_the_membership_before_as_it_was(drawn: list[MembershipEvent]) -> None:
    before = members(drawn[:2])
    kept = replace(before, parties=dict(before.parties), removals=dict(before.removals))
    for event in drawn[2:]:
        join(before, event)

    assert before == kept


def test_an_event_of_a_later_version_is_not_understood() -> None:
    with pytest.raises(ValueError, match="PartyCrowned"):
        read_membership_event("PartyCrowned", {"name": "a"})


@pytest.mark.parametrize("event", [renewed(SECOND, FIRST), REMOVED])
def test_an_event_of_a_party_that_never_enrolled_is_refused(event: MembershipEvent) -> None:
    with pytest.raises(TamperedError, match="'a', which was never enrolled"):
        join(Membership(), event)
