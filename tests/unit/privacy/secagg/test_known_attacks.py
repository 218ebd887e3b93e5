"""Attacks on secure aggregation in other libraries, which have to fail here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tests.masked_sums import masked, sites

from hanse.privacy.secagg.grid import Words
from hanse.privacy.secagg.masks import MaskKey, stream

Generator = Callable[[bytes, int], Words]
KEY = bytes(range(7, 23))
SEARCHED = 1 << 12
"""Seeds that the attack tries here, around the right one; on a graphics card all 2^32 take minutes."""


def folded(key: bytes) -> int:
    """The 32 bits that SecAgg+ of Flower makes of a key of any length: the exclusive or of its words."""
    return int(np.bitwise_xor.reduce(np.frombuffer(key, ">u4")))


def by_32_bits(key: bytes, size: int) -> Words:
    """A mask as SecAgg+ of Flower draws it: the Mersenne Twister, seeded with 32 bits."""
    return np.random.RandomState(folded(key)).randint(0, 2**32, size, np.uint64).astype("<u4")


def by_this_library(key: bytes, size: int) -> Words:
    return np.frombuffer(stream(key, 0, 4 * size), "<u4")


def seed_search(y: Words, known: Words, near: int) -> int | None:
    """Find the seed of a mask from some coordinates whose numbers are known, such as a layer that is zero."""
    for seed in range(near - SEARCHED // 2, near + SEARCHED // 2):
        guess = np.random.RandomState(seed % 2**32).randint(0, 2**32, len(known), np.uint64).astype("<u4")
        if np.array_equal(y[: len(known)] - guess, known):
            return seed % 2**32
    return None


def test_the_search_of_32_bit_seeds_opens_the_peer_and_not_this() -> None:
    q = np.array([0, 0, 0, 0, 41, 97], "<u4")

    found = {
        mask: seed_search(q + mask(KEY, len(q)), q[:4], folded(KEY)) for mask in (by_32_bits, by_this_library)
    }

    assert found == {by_32_bits: folded(KEY), by_this_library: None}


def test_keys_that_fold_to_the_same_32_bits_have_different_masks() -> None:
    other = KEY[4:8] + KEY[:4] + KEY[8:]

    assert folded(other) == folded(KEY)
    assert np.array_equal(by_32_bits(other, 8), by_32_bits(KEY, 8))
    assert not np.any(by_this_library(other, 8) == by_this_library(KEY, 8))


def test_each_bit_of_a_key_changes_its_mask() -> None:
    masks = {by_this_library(KEY, 4).tobytes()}
    for bit in range(128):
        changed = (int.from_bytes(KEY, "big") ^ 1 << bit).to_bytes(16, "big")
        masks.add(by_this_library(changed, 4).tobytes())

    assert len(masks) == 129


def shape_of(y: Words) -> Words:
    """Differences of neighbours: a mask that is one number for a whole tensor, as in OpenFL, drops out."""
    return np.diff(y)


def test_the_differences_of_coordinates_open_a_scalar_mask_and_not_this() -> None:
    q = np.arange(1000, dtype="<u4") ** 2
    scalar = q + np.random.default_rng(3).integers(0, 2**32, 1).astype("<u4")
    a, *others = sites("abcd")
    y = masked(q, a.keys([a.ready(), *(site.ready() for site in others)]))

    assert np.array_equal(shape_of(scalar), shape_of(q))
    assert not np.any(shape_of(y) == shape_of(q))


def test_equal_coordinates_are_masked_to_different_words() -> None:
    y = masked(np.full(1000, 5, "<u4"), [MaskKey(KEY, 1)])

    assert len(set(y.tolist())) == 1000


def test_two_attempts_with_the_same_numbers_share_no_mask() -> None:
    # A mask that is kept from one round to the next gives the difference of two updates away.
    q = np.zeros(1000, "<u4")
    cell = sites("abcd")
    first = masked(q, cell[0].keys([site.ready() for site in cell]))
    second = masked(q, cell[0].keys([site.ready(2) for site in cell]))

    assert not np.any(first == second)
