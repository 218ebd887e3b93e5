"""A roster's digest pins every site's key; each site can check its own by a few hashes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.values.canonical import digest_of
from hanse.core.values.roster import Roster, RosterProof, check_place
from hanse.errors import TrustError


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def roster(*sites: str) -> Roster:
    return Roster({site: key(site) for site in sites})


NUMBERED = [f"site-{number:02d}" for number in range(40)]
ROSTERS = st.dictionaries(st.sampled_from(NUMBERED), st.binary(min_size=32, max_size=32).map(bytes.hex))


def test_a_digest_is_the_root_of_a_merkle_tree_with_its_size() -> None:
    def sha(*parts: bytes) -> bytes:
        return hashlib.sha256(b"".join(parts)).digest()

    a, b, c = (sha(b"\0", f"{site} {key(site)}".encode()) for site in "abc")
    root = sha(b"\1", sha(b"\1", a, b), c)

    assert roster(*"cab").digest == digest_of({"roster": 1, "root": root.hex(), "sites": 3})


@given(st.permutations(NUMBERED[:9]))
def test_a_digest_does_not_depend_on_the_order_in_which_sites_came(order: list[str]) -> None:
    found = Roster()
    for site in order:
        found = found.including(site, key(site))

    assert found.digest == roster(*NUMBERED[:9]).digest


@given(ROSTERS, ROSTERS)
def test_different_rosters_have_different_digests(one: dict[str, str], other: dict[str, str]) -> None:
    assert (Roster(one).digest == Roster(other).digest) == (one == other)


@given(ROSTERS)
def test_each_site_finds_its_own_key_in_the_digest(keys: dict[str, str]) -> None:
    found = Roster(keys)

    for site, own in keys.items():
        proof = found.proof(site)
        check_place(proof, found.digest, site, own)
        assert len(proof.path) <= 6


@pytest.mark.parametrize("size", [*range(1, 18), 40])
def test_no_site_finds_another_key_or_anothers_place(size: int) -> None:
    sites = NUMBERED[:size]
    found = roster(*sites)

    for site in sites:
        with pytest.raises(TrustError, match=f"does not name key {key('other')[:16]} for {site}"):
            check_place(found.proof(site), found.digest, site, key("other"))
        for other in sites:
            if other != site:
                with pytest.raises(TrustError):
                    check_place(found.proof(other), found.digest, site, key(site))


def test_a_proof_of_another_roster_is_refused() -> None:
    now, before = roster(*"abc"), roster(*"ab")

    with pytest.raises(TrustError, match="roster"):
        check_place(before.proof("a"), now.digest, "a", key("a"))


@pytest.mark.parametrize(
    "change",
    [
        {"path": ()},
        {"path": ("0" * 64,) * 3},
        {"path": ("0" * 64,) * 32},
        {"place": 7},
        {"place": 2**32 - 1},
        {"size": 1},
        {"size": 4},
        {"size": 2**32},
    ],
)
def test_a_damaged_proof_is_refused(change: dict[str, object]) -> None:
    found = roster(*"abc")
    proof = RosterProof.model_validate(found.proof("a").model_dump() | change)

    with pytest.raises(TrustError):
        check_place(proof, found.digest, "a", key("a"))


def test_a_node_of_the_tree_does_not_pass_for_a_site() -> None:
    found = roster(*"abcd")
    inner = found.proof("a").path[-1]
    pair = RosterProof(place=0, size=2, path=(inner,))

    with pytest.raises(TrustError):
        check_place(pair, found.digest, "a", key("a"))


def test_a_change_makes_another_roster_and_leaves_the_first() -> None:
    first = roster(*"ab")

    later = first.including("c", key("c")).without("a")

    assert (dict(first), dict(later)) == ({s: key(s) for s in "ab"}, {s: key(s) for s in "bc"})


def test_a_change_that_changes_nothing_keeps_the_roster_with_its_tree() -> None:
    found = roster(*"ab")

    assert found.including("a", key("a")) is found
    assert found.without("z") is found


def test_a_site_outside_the_roster_has_no_place() -> None:
    with pytest.raises(KeyError):
        roster(*"ab").proof("c")
