"""Overlaps of a plan's cell with earlier rosters, found when the plan is reviewed, as far as keys are known.

The roster itself is compared when it comes, see `hanse.privacy.secagg.cells`. A person who reads a plan
reads the same question earlier here, before any site has computed anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from hanse.collaborator.peers.pins import pins_of
from hanse.config.site_peers import SitePeers
from hanse.pki.key_words import NUM_DIGITS
from hanse.privacy.secagg.cells import Agreement, EarlierRoster, Overlap, overlaps

WholeKey = Callable[[str, str], str | None]
"""Gives the whole fingerprint that was seen first of a name and begins with these digits; None for none."""


def known_signers(
    site: str, own_key: str, members: Sequence[str], peers: SitePeers, whole: WholeKey
) -> dict[str, str]:
    """Find the fingerprints of a cell's members that this site knows before it has seen a roster.

    Args:
        site: This site.
        own_key: Fingerprint of its signing key.
        members: Names of the cell's members.
        peers: `secure_aggregation` of `site.yaml`.
        whole: Completes a fingerprint that is written in words.

    Returns:
        Whole fingerprints by name; of some members none may be known.

    Raises:
        ConfigError: A peer in `site.yaml` has no key.
    """
    known = {site: own_key}
    for name, digits in pins_of(peers).checked.items():
        key = whole(name, digits) if len(digits) == NUM_DIGITS else digits
        if name in members and name != site and key is not None:
            known[name] = key
    return known


def expected_overlaps(
    known: Mapping[str, str],
    members: Sequence[str],
    earlier: Iterable[EarlierRoster],
    agreed: frozenset[Agreement] = frozenset(),
) -> tuple[Overlap, ...]:
    """Find the earlier rosters beside which the roster of a cell will have to wait for a person.

    Args:
        known: Fingerprints of members, see `known_signers`.
        members: Names of all members.
        earlier: All rosters that this site accepted for the same data.
        agreed: What persons here have permitted.

    Returns:
        Where all keys are known, what `overlaps` finds. Else those rosters that are certain to be others,
        because they have another number of members or lack a known key; the names in `disclosed` are then
        those that are known to differ, and the roster itself may add some.
    """
    if known.keys() == set(members):
        return overlaps(known, earlier, agreed)
    found: dict[frozenset[str], Overlap] = {}
    for roster in earlier:
        changed = {name for name, key in known.items() if key not in roster.keys}
        if not changed and len(members) == len(roster.signers):
            continue
        if any(old == roster.keys and _may_be(new, known, members) for new, old in agreed):
            continue
        names = changed | (set(members) ^ set(roster.signers))
        found.setdefault(roster.keys, Overlap(roster, tuple(sorted(names))))
    return tuple(found.values())


def _may_be(keys: frozenset[str], known: Mapping[str, str], members: Sequence[str]) -> bool:
    """Check if a cell may turn out to have these keys."""
    return len(keys) == len(members) and keys.issuperset(known.values())
