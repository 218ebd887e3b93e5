"""Digests that say what made them."""

import hashlib
import re

import pytest

from hanse.core.values.digests import (
    ALGORITHMS,
    DIGEST_PATTERN,
    Algorithm,
    Hasher,
    algorithm_of,
    digest_of_bytes,
)


def test_sha_256_is_as_others_write_it() -> None:
    assert digest_of_bytes(b"abc", "sha256") == hashlib.sha256(b"abc").hexdigest()


def test_blake3_is_that_of_its_authors() -> None:
    # `test_vectors.json` of the reference implementation: input_len 0, and 1 byte of 0.
    empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    zero = "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"

    assert digest_of_bytes(b"", "blake3") == f"{empty}-blake3"
    assert digest_of_bytes(b"\0", "blake3") == f"{zero}-blake3"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_digest_says_what_made_it(algorithm: Algorithm) -> None:
    digest = digest_of_bytes(b"abc", algorithm)

    assert algorithm_of(digest) == algorithm
    assert re.fullmatch(DIGEST_PATTERN, digest)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pieces_give_the_digest_of_the_whole(algorithm: Algorithm) -> None:
    hasher = Hasher(algorithm)

    for piece in (b"a", memoryview(b"b"), bytearray(b"c"), b""):
        hasher.update(piece)

    assert hasher.digest() == digest_of_bytes(b"abc", algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_copy_goes_on_by_itself(algorithm: Algorithm) -> None:
    hasher = Hasher(algorithm)
    hasher.update(b"a")

    other = hasher.copy()
    other.update(b"b")

    assert hasher.digest() == digest_of_bytes(b"a", algorithm)
    assert other.digest() == digest_of_bytes(b"ab", algorithm)
