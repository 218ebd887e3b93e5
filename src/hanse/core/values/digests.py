"""The digests by which blobs are named: SHA-256, or BLAKE3, which is several times faster.

A digest says itself which of the two made it: 64 hexadecimal characters are SHA-256 (FIPS
180-4), and with `-blake3` behind them they are BLAKE3 (32 bytes, without a key:
https://github.com/BLAKE3-team/BLAKE3-specs). So whoever checks one needs no plan, and either
can be asked for. Plans, certificates and the journal's chain are named by SHA-256 always.
"""

from __future__ import annotations

import hashlib
from copy import copy
from typing import Literal, Protocol, Self, get_args

from blake3 import blake3

Algorithm = Literal["blake3", "sha256"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)

DIGEST_PATTERN = "[0-9a-f]{64}(?:-blake3)?"
"""A regular expression for a blob's digest."""

_BLAKE3 = "-blake3"


class _Hash(Protocol):
    def update(self, data: bytes | bytearray | memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...

    def copy(self) -> Self: ...


class Hasher:
    """Makes the digest of what it is given, piece by piece.

    Args:
        algorithm: Which digest.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self._hash: _Hash
        if algorithm == "blake3":
            self._hash, self._ending = blake3(), _BLAKE3
        else:
            self._hash, self._ending = hashlib.sha256(), ""

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Hash the next bytes; other threads go on meanwhile."""
        self._hash.update(data)

    def copy(self) -> Hasher:
        """Another that has been given the same; either can go on by itself."""
        other = copy(self)
        other._hash = self._hash.copy()
        return other

    def digest(self) -> str:
        """The digest of all that came so far."""
        return self._hash.hexdigest() + self._ending


def algorithm_of(digest: str) -> Algorithm:
    """What made a digest."""
    return "blake3" if digest.endswith(_BLAKE3) else "sha256"


def digest_of_bytes(data: bytes | bytearray | memoryview, algorithm: Algorithm) -> str:
    """The digest of bytes."""
    hasher = Hasher(algorithm)
    hasher.update(data)
    return hasher.digest()
