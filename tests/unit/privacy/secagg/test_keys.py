"""Public keys of an attempt: one form each, no points of low order, and keys of pairs."""

from __future__ import annotations

import pytest

from hanse.errors import TrustError
from hanse.privacy.secagg.keys import (
    MemberKeys,
    check_public,
    pair_key,
    private_key,
    public_of,
    shared_secret,
)

PRIME = 2**255 - 19
A, B = private_key(bytes([1]) * 32), private_key(bytes([2]) * 32)
RHO = "5a" * 32
OWN, PEER = MemberKeys("11" * 32, public_of(A)), MemberKeys("22" * 32, public_of(B))

# The points of order 1, 2, 4 and 8 of the curve and its twist, https://cr.yp.to/ecdh.html#validate
LOW_ORDER = [
    0,
    1,
    PRIME - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
]


def written(u: int) -> str:
    return u.to_bytes(32, "little").hex()


def plus_order_two(public: str) -> str:
    """The point with the point of order 2 added: u becomes 1/u."""
    return written(pow(int.from_bytes(bytes.fromhex(public), "little"), -1, PRIME))


@pytest.mark.parametrize("u", LOW_ORDER)
def test_a_point_of_low_order_is_refused_and_its_sender_named(u: int) -> None:
    with pytest.raises(TrustError, match="READY of bergen is of low order"):
        check_public(written(u), "bergen")


@pytest.mark.parametrize("u", [PRIME, PRIME + 1, PRIME + 9, 2**255 - 1, 2**255 + 9])
def test_a_key_is_refused_in_every_form_but_one(u: int) -> None:
    with pytest.raises(TrustError, match="not written in its one form"):
        check_public(written(u), "bergen")


def test_a_copy_with_the_top_bit_set_has_the_same_secret_and_is_refused() -> None:
    copy = bytearray(bytes.fromhex(PEER.public))
    copy[31] |= 128

    assert shared_secret(A, copy.hex(), "b") == shared_secret(A, PEER.public, "b")
    with pytest.raises(TrustError, match="one form"):
        check_public(copy.hex(), "b")


def test_a_copy_with_a_torsion_point_has_the_same_secret_and_another_key() -> None:
    copy = MemberKeys("33" * 32, plus_order_two(PEER.public))

    check_public(copy.public, "c")
    assert shared_secret(A, copy.public, "c") == shared_secret(A, PEER.public, "b")
    assert pair_key(A, RHO, OWN, copy, "c").key != pair_key(A, RHO, OWN, PEER, "b").key


def test_both_members_of_a_pair_derive_one_key_and_opposite_signs() -> None:
    own, peer = pair_key(A, RHO, OWN, PEER, "b"), pair_key(B, RHO, PEER, OWN, "a")

    assert own.key == peer.key
    assert (own.sign, peer.sign) == (1, -1)  # the lower fingerprint adds


@pytest.mark.parametrize(
    "changed", ["rho", "own fingerprint", "peer fingerprint", "own public", "peer public"]
)
def test_the_key_of_a_pair_depends_on_each_input(changed: str) -> None:
    rho = "5b" * 32 if changed == "rho" else RHO
    own = MemberKeys("10" * 32 if changed == "own fingerprint" else OWN.fingerprint,
                     public_of(B) if changed == "own public" else OWN.public)  # fmt: skip
    peer = MemberKeys("23" * 32 if changed == "peer fingerprint" else PEER.fingerprint,
                      plus_order_two(PEER.public) if changed == "peer public" else PEER.public)  # fmt: skip

    assert pair_key(A, rho, own, peer, "b").key != pair_key(A, RHO, OWN, PEER, "b").key
