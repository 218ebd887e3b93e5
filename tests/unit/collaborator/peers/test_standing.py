"""Sites that the aggregator lists, held against the peers that people of a site have checked."""

from __future__ import annotations

import hashlib

import pytest

from hanse.collaborator.peers.standing import Standing, check_heard, check_new_peer, peers_here
from hanse.config.settings import SiteSettings
from hanse.errors import ConfigError, TrustError
from hanse.pki.key_words import words_of
from hanse.wire.messages.members import PeerKey

KEYS = {name: hashlib.sha256(name.encode()).hexdigest() for name in "abcd"}
STATED = tuple(PeerKey(name=name, signing_key=key) for name, key in KEYS.items())


def site(**peers: str) -> SiteSettings:
    return SiteSettings.model_validate(
        {
            "name": "a",
            "federation": "north",
            "aggregator": "https://localhost:1",
            "secure_aggregation": {"peers": peers},
        }
    )


def standings(settings: SiteSettings, *stated: PeerKey, own: str = KEYS["a"]) -> dict[str, Standing]:
    return {peer.name: peer.standing for peer in peers_here(settings, own, stated or STATED)}


def test_who_is_checked_and_who_is_not_is_said_of_each_site() -> None:
    assert standings(site(b=KEYS["b"], c=words_of(KEYS["c"]))) == {
        "a": Standing.OWN,
        "b": Standing.CHECKED,
        "c": Standing.CHECKED,
        "d": Standing.UNCHECKED,
    }


def test_another_key_than_the_checked_one_is_not_checked() -> None:
    assert standings(site(b=KEYS["c"]))["b"] is Standing.ANOTHER_KEY


def test_another_key_of_this_site_itself_is_seen_too() -> None:
    assert standings(site(), own=KEYS["d"])["a"] is Standing.ANOTHER_KEY


def test_a_site_without_a_key_and_a_peer_that_is_no_member_are_said_too() -> None:
    found = standings(site(e=KEYS["b"]), PeerKey(name="b"))

    assert found == {"b": Standing.NO_KEY, "e": Standing.ABSENT}


def test_the_words_are_those_of_the_key_that_the_aggregator_states() -> None:
    (peer,) = peers_here(site(), KEYS["a"], [PeerKey(name="b", signing_key=KEYS["b"])])

    assert peer.words == words_of(KEYS["b"])


@pytest.mark.parametrize(("name", "problem"), [("a", "a is this site itself"), ("x", "has no site x")])
def test_only_other_sites_of_the_federation_can_be_entered(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        check_new_peer(site(), KEYS["a"], STATED, name)


def test_a_site_that_has_stated_no_key_cannot_be_entered() -> None:
    with pytest.raises(ConfigError, match="no signing key of b"):
        check_new_peer(site(), KEYS["a"], [PeerKey(name="b")], "b")


@pytest.mark.parametrize("key", [KEYS["a"], KEYS["c"]])
def test_a_key_of_this_site_or_of_another_peer_is_refused(key: str) -> None:
    with pytest.raises(TrustError, match=r"states of b is that of [ac]"):
        check_new_peer(site(c=words_of(KEYS["c"])), KEYS["a"], [PeerKey(name="b", signing_key=key)], "b")


def test_a_new_key_of_a_peer_that_is_there_can_be_entered() -> None:
    assert check_new_peer(site(b=KEYS["d"]), KEYS["a"], STATED, "b") == KEYS["b"]


def test_what_was_heard_has_to_be_the_key_that_the_aggregator_states() -> None:
    check_heard("b", KEYS["b"], words_of(KEYS["b"]).upper())
    check_heard("b", KEYS["b"], KEYS["b"])

    for heard in (words_of(KEYS["c"]), KEYS["c"], KEYS["b"][:-1] + "0"):
        with pytest.raises(TrustError, match="not the key that the aggregator states of b; nothing was"):
            check_heard("b", KEYS["b"], heard)
