"""Cells that overlap earlier ones, found when a plan is reviewed, before there is a roster."""

from __future__ import annotations

import hashlib

import pytest

from hanse.collaborator.peers.expected_overlaps import expected_overlaps, known_signers
from hanse.config.site_peers import SitePeers
from hanse.pki.key_words import words_of
from hanse.privacy.secagg.cells import EarlierRoster, agreement

KEYS = {name: hashlib.sha256(name.encode()).hexdigest() for name in "abcde"}


def keys(names: str) -> dict[str, str]:
    return {name: KEYS[name] for name in names}


def roster(names: str, **changed: str) -> EarlierRoster:
    return EarlierRoster("0" * 64, "all", keys(names) | changed)


def disclosed(known: str, members: str, *earlier: EarlierRoster) -> list[tuple[str, ...]]:
    return [overlap.disclosed for overlap in expected_overlaps(keys(known), list(members), earlier)]


def test_own_key_and_checked_peers_are_known_and_words_where_their_whole_key_was_seen() -> None:
    peers = SitePeers(
        peers={"b": KEYS["b"], "c": words_of(KEYS["c"]), "d": words_of(KEYS["d"]), "x": KEYS["e"]}
    )
    seen = {("c", KEYS["c"][:33]): KEYS["c"]}

    known = known_signers("a", KEYS["a"], "abcd", peers, lambda name, digits: seen.get((name, digits)))

    assert known == keys("abc")


def test_the_same_cell_again_is_no_overlap() -> None:
    assert disclosed("abcd", "abcd", roster("abcd")) == []
    assert disclosed("ab", "abcd", roster("abcd")) == []


def test_a_cell_that_lost_or_gained_a_member_is_asked_about_early() -> None:
    assert disclosed("abcde", "abcde", roster("abcd")) == [("e",)]
    assert disclosed("ab", "abcde", roster("abcd")) == [("e",)]
    assert disclosed("ab", "abd", roster("abcd")) == [("c",)]


def test_a_known_key_that_has_changed_is_another_member() -> None:
    assert disclosed("ab", "abcd", roster("abcd", b=KEYS["e"])) == [("b",)]


@pytest.mark.parametrize("known", ["abce", "ab"])
def test_what_a_person_has_agreed_to_is_not_asked_again(known: str) -> None:
    earlier = roster("abcd")
    agreed = frozenset({agreement(keys("abce"), earlier)})

    assert expected_overlaps(keys(known), list("abce"), [earlier], agreed) == ()


def test_what_a_person_has_agreed_to_does_not_permit_another_member() -> None:
    earlier = roster("abcd")
    agreed = frozenset({agreement(keys("abce"), earlier)})

    assert expected_overlaps(keys("a"), ["a", "b", "c"], [earlier], agreed) != ()
    assert expected_overlaps(keys("ab") | {"c": KEYS["d"][::-1]}, list("abce"), [earlier], agreed) != ()
