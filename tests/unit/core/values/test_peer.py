"""Peers as values."""

from __future__ import annotations

import pytest

from hanse.core.values.identity import Party, Role
from hanse.core.values.peer import Peer

PARTY = Party("north", Role.COLLABORATOR, "a")


def test_a_party_with_its_next_certificate_is_another_peer() -> None:
    before, after = Peer(PARTY, "0" * 64, 1), Peer(PARTY, "1" * 64, 2)

    assert before != after
    assert before.party == after.party


def test_peers_are_keys() -> None:
    assert {Peer(PARTY, "0" * 64, 1): 7}[Peer(PARTY, "0" * 64, 1)] == 7


def test_a_peer_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Peer(PARTY, "0" * 64, 1).fingerprint = "1" * 64  # type: ignore[misc]  # the point of the test
