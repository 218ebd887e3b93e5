"""Keys that a site knows its peers by: what `site.yaml` has under `secure_aggregation: peers`, as digits."""

from __future__ import annotations

from collections.abc import Mapping

from hanse.config.site_peers import SitePeers
from hanse.errors import ConfigError
from hanse.pki.key_words import NUM_DIGITS, read_fingerprint
from hanse.privacy.secagg.roster import Pins


def read_peer(name: str, written: str) -> str:
    """Read the key of one peer, as a person wrote it.

    Returns:
        First hexadecimal digits of its fingerprint: all 64, or the 33 that 12 words stand for.

    Raises:
        ConfigError: It is neither; names the peer.
    """
    try:
        return read_fingerprint(written)
    except ConfigError as error:
        raise ConfigError(
            f"site.yaml, `secure_aggregation: peers: {name}`: {error.message}", mend=error.mend
        ) from None


def same_key(one: str, other: str) -> bool:
    """Compare two beginnings of fingerprints, of 33 digits or more: do they stand for one key?"""
    shorter = min(len(one), len(other))
    return shorter >= NUM_DIGITS and one[:shorter] == other[:shorter]


def pins_of(settings: SitePeers, seen: Mapping[str, str] | None = None) -> Pins:
    """Say by which keys a site knows its peers.

    Args:
        settings: `secure_aggregation` of `site.yaml`.
        seen: Whole fingerprints that this site saw first, in this plan or before, by name.

    Returns:
        The keys; `checked` has hexadecimal digits only, also of peers that are written in words.

    Raises:
        ConfigError: A peer's key is not one, or two peers have one and the same; names them.
    """
    checked = {name: read_peer(name, written) for name, written in settings.peers.items()}
    holders: dict[str, str] = {}
    for name, key in sorted(checked.items()):
        if (other := holders.setdefault(key[:NUM_DIGITS], name)) != name:
            raise ConfigError(
                f"site.yaml, `secure_aggregation: peers`: {other} and {name} have one and the same key",
                mend="Two names of one party count as one peer: remove one of them.",
            )
    return Pins(checked, dict(seen or {}), settings.trust_on_first_use)
