"""Roster of a run: the signing key of each site that takes part, and one digest that stands for all of them.

The digest is the root of a Merkle tree over the sites in site order, as in RFC 6962, with their number.
A site checks its own place in it by some 32-byte hashes, log2 of the number of sites, and neither has to
fetch the keys of all others nor learns who they are. Two different rosters have different digests, so
that each signed statement that repeats the digest pins the keys of all sites.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from pydantic import Field

from hanse.core.values.canonical import digest_of
from hanse.core.values.schema import Digest, Strict
from hanse.core.values.sorted_map import SortedMap
from hanse.errors import TrustError

MOST_SITES = 1 << 32
_LEAF, _NODE = b"\x00", b"\x01"
"""First byte of what is hashed, so that a node cannot pass for a leaf."""


class RosterProof(Strict):
    """A site's place in a roster.

    Attributes:
        place: Of the site among all, in site order, from 0.
        size: Number of sites.
        path: Hashes of the other branches of the tree, from the site's leaf to the root.
    """

    place: int = Field(ge=0, lt=MOST_SITES)
    size: int = Field(ge=1, le=MOST_SITES)
    path: tuple[Digest, ...] = Field((), max_length=32)


class Roster(Mapping[str, str]):
    """Fingerprint of the signing key of each site; a value: a change makes another one.

    The tree is made when it is first asked for, and kept as long as the roster is.
    """

    __slots__ = ("_keys", "_levels", "_places")

    def __init__(self, keys: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._keys: SortedMap[str, str] = SortedMap(keys)
        self._levels: list[list[bytes]] = []
        self._places: dict[str, int] = {}

    def including(self, site: str, key: str) -> Roster:
        """The roster with a site; the roster itself where it has the site with this key."""
        return self if self._keys.get(site) == key else _of(self._keys.set(site, key))

    def without(self, site: str) -> Roster:
        """The roster without a site; the roster itself where the site is not in it."""
        return _of(self._keys.without(site)) if site in self._keys else self

    @property
    def digest(self) -> str:
        """SHA-256, 64 hexadecimal characters."""
        return _digest(len(self), self._tree()[-1][0] if self._keys else b"")

    def proof(self, site: str) -> RosterProof:
        """The place of a site.

        Raises:
            KeyError: The roster does not have the site.
        """
        levels = self._tree()
        place = index = self._places[site]
        path = []
        for level in levels[:-1]:
            if index ^ 1 < len(level):
                path.append(level[index ^ 1].hex())
            index //= 2
        return RosterProof(place=place, size=len(self), path=tuple(path))

    def __getitem__(self, site: str) -> str:
        return self._keys[site]

    def __contains__(self, site: object) -> bool:
        return site in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"Roster({dict(self)!r})"

    def _tree(self) -> list[list[bytes]]:
        if not self._levels and self._keys:
            level = [_leaf(site, key) for site, key in self._keys.items()]
            levels = [level]
            while len(level) > 1:
                pairs = zip(level[::2], level[1::2], strict=False)
                rest = level[-1:] if len(level) % 2 else []
                level = [*(_node(left, right) for left, right in pairs), *rest]
                levels.append(level)
            self._levels, self._places = levels, {site: place for place, site in enumerate(self._keys)}
        return self._levels


def check_place(proof: RosterProof, digest: str, site: str, key: str) -> None:
    """Check that the roster of a digest names a key for a site.

    Args:
        proof: The place of the site in that roster, from somebody who is not trusted.
        digest: Of the roster.
        site: The site.
        key: Fingerprint of the site's signing key.

    Raises:
        TrustError: It does not; what came may also be the place in another roster.
    """
    index, width, value, rest = proof.place, proof.size, _leaf(site, key), list(proof.path)
    while width > 1:
        if index ^ 1 < width:
            if not rest:
                break
            other = bytes.fromhex(rest.pop(0))
            value = _node(other, value) if index % 2 else _node(value, other)
        index, width = index // 2, (width + 1) // 2
    whole = width == 1 and not rest and proof.place < proof.size
    if not whole or _digest(proof.size, value) != digest:
        raise TrustError(
            f"roster {digest[:12]} does not name key {key[:16]} for {site}",
            mend="Ask the federation's operator which key is recorded here: `hanse federation members`.",
        )


def _of(keys: SortedMap[str, str]) -> Roster:
    made = Roster()
    made._keys = keys
    return made


def _digest(size: int, root: bytes) -> str:
    return digest_of({"roster": 1, "root": root.hex(), "sites": size})


def _leaf(site: str, key: str) -> bytes:
    # A fingerprint has no blank in it, so that no other pair gives the same bytes.
    return hashlib.sha256(_LEAF + f"{site} {key}".encode("utf-8", "surrogatepass")).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()
