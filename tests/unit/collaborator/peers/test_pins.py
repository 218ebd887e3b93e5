import hashlib

import pytest

from hanse.collaborator.peers.pins import pins_of, read_peer
from hanse.config.site_peers import SitePeers
from hanse.errors import ConfigError
from hanse.pki.key_words import words_of

KEYS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a", "b", "c")}


def test_words_become_the_first_digits_of_the_fingerprint_and_digits_stay_as_they_are() -> None:
    pins = pins_of(SitePeers(peers={"b": KEYS["b"], "c": words_of(KEYS["c"]).upper()}))

    assert pins.checked == {"b": KEYS["b"], "c": KEYS["c"][:33]}


def test_what_was_seen_first_and_whether_that_is_enough_are_passed_on() -> None:
    pins = pins_of(SitePeers(trust_on_first_use=True), {"b": KEYS["b"]})

    assert (pins.seen, pins.trust_on_first_use) == ({"b": KEYS["b"]}, True)
    assert not pins_of(SitePeers()).trust_on_first_use


def test_a_word_that_is_not_in_the_list_is_named_with_its_peer() -> None:
    words = words_of(KEYS["c"]).split()

    with pytest.raises(ConfigError, match="peers: c`: word 3 of a fingerprint, 'qqq', is not a word"):
        pins_of(SitePeers(peers={"c": " ".join([*words[:2], "qqq", *words[3:]])}))


def test_too_few_words_are_not_a_key() -> None:
    with pytest.raises(ConfigError, match=r"peers: c`: .* is not the fingerprint of a signing key"):
        read_peer("c", "abandon ability")


def test_two_names_with_one_key_are_refused_also_where_one_is_in_words() -> None:
    peers = {"b": KEYS["b"], "c": words_of(KEYS["b"])}

    with pytest.raises(ConfigError, match="b and c have one and the same key"):
        pins_of(SitePeers(peers=peers))
