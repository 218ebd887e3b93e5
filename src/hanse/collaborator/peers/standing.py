"""Standing of each site of the federation here: whether people of this site have checked its signing key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hanse.collaborator.peers.pins import read_peer, same_key
from hanse.config.settings import SiteSettings
from hanse.errors import ConfigError, TrustError
from hanse.pki.key_words import read_fingerprint, words_of
from hanse.wire.messages.members import PeerKey


class Standing(StrEnum):
    """Relation of a site to the peers in `site.yaml`."""

    OWN = "this site"
    CHECKED = "checked"
    UNCHECKED = "not checked"
    ANOTHER_KEY = "another key"
    NO_KEY = "no key"
    ABSENT = "not a member"


@dataclass(frozen=True, slots=True)
class ListedPeer:
    """A site of the federation.

    Attributes:
        signing_key: Fingerprint of its key as the aggregator states it; None where it states none.
    """

    name: str
    signing_key: str | None
    standing: Standing

    @property
    def words(self) -> str:
        """12 words for the fingerprint; empty where there is none."""
        return "" if self.signing_key is None else words_of(self.signing_key)


def peers_here(settings: SiteSettings, own_key: str, stated: Sequence[PeerKey]) -> tuple[ListedPeer, ...]:
    """Hold the sites that the aggregator lists against the peers in `site.yaml`.

    Args:
        settings: Of this site.
        own_key: Fingerprint of its signing key.
        stated: What the aggregator lists.

    Returns:
        The sites by name, with those of `site.yaml` that the aggregator does not list.

    Raises:
        ConfigError: A key in `site.yaml` is not one.
    """
    checked = {name: read_peer(name, key) for name, key in settings.secure_aggregation.peers.items()}
    checked[settings.name] = own_key
    found = [
        ListedPeer(peer.name, peer.signing_key, _standing(peer, settings.name, checked)) for peer in stated
    ]
    absent = checked.keys() - {peer.name for peer in stated} - {settings.name}
    found += [ListedPeer(name, None, Standing.ABSENT) for name in absent]
    return tuple(sorted(found, key=lambda peer: peer.name))


def _standing(peer: PeerKey, own: str, checked: dict[str, str]) -> Standing:
    if peer.signing_key is None:
        return Standing.NO_KEY
    if peer.name not in checked:
        return Standing.UNCHECKED
    if not same_key(checked[peer.name], peer.signing_key):
        return Standing.ANOTHER_KEY
    return Standing.OWN if peer.name == own else Standing.CHECKED


def check_new_peer(settings: SiteSettings, own_key: str, stated: Sequence[PeerKey], name: str) -> str:
    """Find the key that the aggregator states of a peer, if it may be entered here.

    Returns:
        Its fingerprint.

    Raises:
        ConfigError: It is this site's own name, or not a site of the federation, or it has no key.
        TrustError: Its key is that of this site, or of another peer.
    """
    if name == settings.name:
        raise ConfigError(
            f"{name} is this site itself", mend="Only other sites are checked; see `hanse federation peers`."
        )
    keys = {peer.name: peer.signing_key for peer in stated}
    if name not in keys:
        raise ConfigError(
            f"the federation has no site {name}", mend="`hanse federation peers` lists its sites."
        )
    key = keys[name]
    if key is None:
        raise ConfigError(
            f"the aggregator has recorded no signing key of {name}",
            mend=f"It is recorded when the agent of {name} next runs, under 0.2 or later.",
        )
    written = settings.secure_aggregation.peers
    known_keys = {other: read_peer(other, text) for other, text in written.items()} | {settings.name: own_key}
    for other, known in sorted(known_keys.items()):
        if other != name and same_key(known, key):
            raise TrustError(
                f"the signing key that the aggregator states of {name} is that of {other}",
                mend="A key belongs to one site, and two names of one party count as one peer. Ask the "
                "federation's operator.",
            )
    return key


def check_heard(name: str, key: str, heard: str) -> None:
    """Compare what a person heard by telephone with what the aggregator states.

    Args:
        name: The peer.
        key: Fingerprint that the aggregator states.
        heard: 12 words, or the fingerprint.

    Raises:
        ConfigError: What was heard is neither.
        TrustError: It is another key.
    """
    if not same_key(read_fingerprint(heard), key):
        raise TrustError(
            f"this is not the key that the aggregator states of {name}; nothing was written",
            mend="Have the words read out once more, by `hanse collaborator signing-key` on the machine of "
            f"{name}. If they still differ, somebody has enrolled another key in that name: take no part in "
            "sums with it, and ask the federation's operator.",
        )
