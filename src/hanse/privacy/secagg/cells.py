"""Overlap of rosters over exchanges and plans: what passes, and what a person has to permit.

The sums over two rosters that share a site and are not the same can be subtracted. Rules that let some of
these pass were tried and fell, since no site sees all sums: {a,b,c,d} and {e,f,g,h}, and then all eight
with z, give z away. So only the same roster passes, and another key under an old name is another member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Signers = Mapping[str, str]
"""Fingerprint of the signing key of each member, by its name."""

Agreement = tuple[frozenset[str], frozenset[str]]
"""Two sets of fingerprints that a person has permitted beside each other: the new one, the earlier one."""


@dataclass(frozen=True, slots=True)
class EarlierRoster:
    """A roster that this site accepted for the same data.

    Attributes:
        plan_digest: Of its plan.
        cell: Name of the cell.
        signers: Of all members, this site included.
    """

    plan_digest: str
    cell: str
    signers: Signers

    @property
    def keys(self) -> frozenset[str]:
        """The fingerprints."""
        return frozenset(self.signers.values())


@dataclass(frozen=True, slots=True)
class Overlap:
    """An earlier roster with which a new one shares this site, and not all others.

    Attributes:
        earlier: The earlier roster.
        disclosed: Members of one of the two alone, by name: any single one of them may be disclosed, since
            there may be sums that this site has not seen. A name that has another key now is one of them.
    """

    earlier: EarlierRoster
    disclosed: tuple[str, ...]


def agreement(signers: Signers, earlier: EarlierRoster) -> Agreement:
    """Describe the one overlap that a person's yes permits."""
    return frozenset(signers.values()), earlier.keys


def overlaps(
    signers: Signers, earlier: Iterable[EarlierRoster], agreed: frozenset[Agreement] = frozenset()
) -> tuple[Overlap, ...]:
    """Find the earlier rosters beside which a new one has to wait for a person.

    Args:
        signers: Of the new roster, all of them. Where some are not known yet, as at a review, the question
            has to wait for the roster: a name says nothing about the key.
        earlier: All rosters that this site ever accepted for the same data. Each has this site in it, and
            so each overlaps the new one.
        agreed: What persons here have permitted.

    Returns:
        One for each set of fingerprints, in the order of `earlier`; empty where the roster passes.
    """
    new = frozenset(signers.values())
    found: dict[frozenset[str], Overlap] = {}
    for roster in earlier:
        if roster.keys == new or (new, roster.keys) in agreed or roster.keys in found:
            continue
        apart = new ^ roster.keys
        names = {
            name for members in (signers, roster.signers) for name, key in members.items() if key in apart
        }
        found[roster.keys] = Overlap(roster, tuple(sorted(names)))
    return tuple(found.values())


def question(cell: str, found: Iterable[Overlap]) -> str:
    """Word the question that a person reads about a roster that overlaps earlier ones."""
    lines = [
        f"Cell {cell} overlaps cell {overlap.earlier.cell} of plan {overlap.earlier.plan_digest[:12]}, in "
        f"which this site took part with the same data. Any single one of these sites may be disclosed, "
        f"since sums that this site cannot see may be known to others: {', '.join(overlap.disclosed)}."
        for overlap in found
    ]
    return "\n".join([*lines, "Agree only if each of these sites has agreed, and state how."])
