"""Check of a roster: what an aggregator may put in, leave out or exchange, and what the site answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tests.masked_sums import Site, altered, member, sites

from hanse.core.values.canonical import sha256
from hanse.core.values.statements import SignedStatement
from hanse.errors import PolicyError
from hanse.privacy.secagg.keys import private_key, public_of
from hanse.privacy.secagg.roster import Pins, check_peers
from hanse.privacy.secagg.site import SumPhase
from hanse.privacy.secagg.site_steps import Asked, Fail, FailureKind, RosterCame, WriteMasked

Roster = list[SignedStatement]

OTHER_PUBLIC = public_of(private_key(bytes([9]) * 32))


def refusal(site: Site, roster: Sequence[SignedStatement]) -> str:
    """Why a site refuses a roster: it fails, and masks nothing."""
    (failed,) = site.take(RosterCame(tuple(roster)))
    assert isinstance(failed, Fail)
    assert failed.kind is FailureKind.ROSTER
    assert (site.state.phase, site.state.live) == (SumPhase.FAILED, None)
    return failed.reason


def cell() -> tuple[Site, Roster]:
    """A cell of a, b, c and d, of which a checks the roster."""
    members = sites("abcd")
    return members[0], [site.ready() for site in members]


def test_the_roster_of_all_members_is_accepted_by_each() -> None:
    members = sites("abcd")
    roster = [site.ready() for site in members]

    assert [len(site.keys(reversed_)) for site in members for reversed_ in [roster[::-1]]] == [3, 3, 3, 3]
    assert len({site.state.masking.rho for site in members if site.state.masking}) == 1


def test_a_stranger_is_refused() -> None:
    a, roster = cell()
    stranger = altered(roster[3], member("eve"), site="eve", signer=member("eve").fingerprint)

    assert "READY of 'eve', which is not a member" in refusal(a, [*roster, stranger])


def test_a_stranger_in_the_place_of_a_member_is_refused() -> None:
    a, roster = cell()
    stranger = altered(roster[3], member("eve"), site="eve", signer=member("eve").fingerprint)

    assert "'eve', which is not a member" in refusal(a, [*roster[:3], stranger])


def test_a_missing_member_is_noticed() -> None:
    a, roster = cell()

    assert "no READY of d" in refusal(a, roster[:3])


def test_one_member_twice_is_refused() -> None:
    a, roster = cell()

    assert "two READYs of c" in refusal(a, [*roster[:3], roster[2]])


def test_another_key_under_the_name_of_a_checked_member_is_refused() -> None:
    a, roster = cell()
    other = member("d", key="the operator")
    forged = altered(roster[3], other, signer=other.fingerprint)

    assert "d is known here by" in refusal(a, [*roster[:3], forged])


def test_another_key_than_the_one_first_seen_in_this_plan_is_refused() -> None:
    members = sites("abcd")
    seen = {"d": members[3].own.fingerprint}
    checked = {name: member(name).fingerprint for name in "bc"}
    a = Site(members[0].own, [site.own for site in members], pins=Pins(checked, seen))
    other = member("d", key="the operator")
    roster = [a.ready(), *(site.ready() for site in members[1:])]

    assert "d is known here by" in refusal(
        a, [*roster[:3], altered(roster[3], other, signer=other.fingerprint)]
    )


def test_a_key_that_was_accepted_in_an_earlier_attempt_stays_for_the_exchange() -> None:
    members = sites("abcd")
    a = Site(
        members[0].own, [site.own for site in members], pins=Pins({n: member(n).fingerprint for n in "bc"})
    )
    a.keys([a.ready(), *(site.ready() for site in members[1:])])
    other = member("d", key="the operator")
    roster = [a.ready(2), *(site.ready(2) for site in members[1:])]

    assert "d is known here by" in refusal(
        a, [*roster[:3], altered(roster[3], other, signer=other.fingerprint)]
    )


def test_a_pin_of_12_words_is_a_prefix_of_132_bits() -> None:
    members = sites("abcd")
    pins = Pins({site.own.name: site.own.fingerprint[:33] for site in members})
    a = Site(members[0].own, [site.own for site in members], pins=pins)

    assert len(a.keys([a.ready(), *(site.ready() for site in members[1:])])) == 3


def test_a_shorter_pin_is_refused() -> None:
    members = sites("abcd")
    pins = Pins({site.own.name: site.own.fingerprint[:32] for site in members})
    a = Site(members[0].own, [site.own for site in members], pins=pins)

    assert "shorter than 12 words" in refusal(a, [a.ready(), *(site.ready() for site in members[1:])])


def test_a_statement_that_another_member_signed_is_refused() -> None:
    a, roster = cell()

    assert "names another signing key" in refusal(a, [*roster[:3], altered(roster[3], member("c"))])


def test_an_altered_statement_is_refused() -> None:
    a, roster = cell()
    body = roster[3].body | {"commitment": "00" * 32}

    assert "READY of d" in refusal(a, [*roster[:3], roster[3].model_copy(update={"body": body})])


def test_one_signing_key_under_two_names_is_refused() -> None:
    members = [member("a"), member("b"), member("c"), member("d", key="c")]
    cell_ = [Site(own, members) for own in members]

    assert "state one and the same signing key" in refusal(cell_[0], [site.ready() for site in cell_])


def test_one_public_key_under_two_names_is_refused() -> None:
    a, roster = cell()
    copied = altered(roster[3], member("d"), public=roster[2].body["public"])

    assert "c and d state one and the same public key" in refusal(a, [*roster[:3], copied])


def test_a_public_key_with_the_top_bit_set_is_refused() -> None:
    a, roster = cell()
    copy = bytearray(bytes.fromhex(roster[2].body["public"]))
    copy[31] |= 128

    assert "READY of d is not written in its one form" in refusal(
        a, [*roster[:3], altered(roster[3], member("d"), public=copy.hex())]
    )


def test_a_public_key_of_low_order_is_refused() -> None:
    a, roster = cell()

    assert "READY of d is of low order" in refusal(
        a, [*roster[:3], altered(roster[3], member("d"), public="00" * 32)]
    )


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("context", sha256(b"another model")),
        ("federation", "south"),
        ("run_id", "r2"),
        ("exchange", 5),
        ("cell", "other"),
        ("suite", "x25519-hkdf-sha256-aes128ctr-2"),
        ("attempt", 2),
    ],
)
def test_a_ready_of_another_question_is_refused(what: str, value: object) -> None:
    a, roster = cell()

    assert f"READY of d has another {what}" in refusal(
        a, [*roster[:3], altered(roster[3], member("d"), **{what: value})]
    )


def test_an_old_ready_is_refused() -> None:
    members = sites("abcd")
    old = [site.ready() for site in members]
    new = [site.ready(2) for site in members]

    assert "READY of d has another attempt" in refusal(members[0], [*new[:3], old[3]])


def test_another_ready_of_the_site_itself_is_refused() -> None:
    a, roster = cell()
    replayed = altered(roster[0], member("a"), public=OTHER_PUBLIC)

    assert "another READY of a than the one that this site sent last" in refusal(a, [replayed, *roster[1:]])


def test_one_ready_serves_one_roster() -> None:
    a, roster = cell()
    a.keys(roster)

    assert a.take(RosterCame(tuple(roster))) == ()


def test_a_member_that_is_shown_another_roster_has_other_keys_for_each_pair() -> None:
    a, b, c, d = sites("abcd")
    first = [site.ready() for site in (a, b, c, d)]
    second = [*first[:3], altered(first[3], member("d"), public=OTHER_PUBLIC)]

    assert not {k.key for k in a.keys(first)} & {k.key for k in b.keys(second)}


@pytest.mark.parametrize("changed", ["b", "c", "d"])
def test_a_member_that_commits_to_other_numbers_later_is_refused(changed: str) -> None:
    members = sites("abcd")
    members[0].keys([site.ready() for site in members])
    later = [site.ready(2) for site in members]
    other = [
        altered(s, member(changed), commitment="cd" * 32) if s.body["site"] == changed else s for s in later
    ]

    assert f"{changed} commits to other numbers" in refusal(members[0], other)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body | {"attempt": "1"},
        lambda body: body | {"attempt": True},
        lambda body: body | {"attempt": 1.0},
        lambda body: body | {"more": 1},
        lambda body: body | {"public": body["public"].upper()},
        lambda body: {key: value for key, value in body.items() if key != "context"},
    ],
)
def test_a_body_is_read_in_its_one_form_only(
    change: Callable[[dict[str, object]], dict[str, object]],
) -> None:
    a, roster = cell()
    d = member("d")

    assert "READY" in refusal(a, [*roster[:3], d.key.sign("hanse/secagg/v1/ready", change(roster[3].body))])


def test_a_signature_for_another_purpose_is_refused() -> None:
    a, roster = cell()

    assert "READY of d" in refusal(
        a, [*roster[:3], member("d").key.sign("hanse task result 3", roster[3].body)]
    )


NAMES = ("a", "b", "c", "d")
PEERS = {name: member(name).fingerprint for name in NAMES}


def test_a_cell_with_c_plus_1_checked_peers_is_enough() -> None:
    check_peers("a", NAMES, 1, Pins({name: PEERS[name] for name in "bc"}))


def test_the_own_name_among_the_peers_does_not_count() -> None:
    with pytest.raises(PolicyError, match="keys of 1 peers in the cell are checked, and 2 have to be"):
        check_peers("a", NAMES, 1, Pins({name: PEERS[name] for name in "ab"}))


def test_peers_of_other_cells_do_not_count() -> None:
    with pytest.raises(PolicyError, match="keys of 1 peers"):
        check_peers("a", NAMES, 1, Pins({"b": PEERS["b"], "x": "00" * 32}))


def test_trust_on_first_use_is_for_a_site_to_switch_on() -> None:
    check_peers("a", NAMES, 1, Pins(trust_on_first_use=True))


def test_a_cell_of_fewer_than_c_plus_2_members_is_refused_whatever_is_trusted() -> None:
    with pytest.raises(PolicyError, match="3 members hides no update"):
        check_peers("a", ("a", "b", "c"), 2, Pins(PEERS, trust_on_first_use=True))


def test_a_member_that_was_not_checked_is_taken_at_its_first_key() -> None:
    members = [member(name) for name in NAMES]
    a = Site(members[0], members, pins=Pins({name: PEERS[name] for name in "bc"}))
    others = sites("abcd")[1:]

    a.take(Asked(1))
    instructions = a.take(RosterCame((a.statement, *(site.ready() for site in others))))

    assert isinstance(instructions[-1], WriteMasked)
    assert instructions[0].checked == ("b", "c")
    assert instructions[0].signers == PEERS
