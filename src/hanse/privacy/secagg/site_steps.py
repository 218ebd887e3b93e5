"""Events of a site's part in a masked sum, and the instructions that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import ReadyBody
from hanse.privacy.secagg.cells import Agreement, EarlierRoster, Overlap
from hanse.privacy.secagg.masks import MaskKey


class FailureKind(StrEnum):
    """Kind of a failure, as stated to others; nothing in it depends on the data."""

    ATTEMPTS = "attempts"
    ROSTER = "roster"
    LOST_VECTOR = "lost_vector"


@dataclass(frozen=True, slots=True)
class Asked:
    """The aggregator asks for a READY, or, with a rho, has a roster.

    Attributes:
        attempt: Number of the attempt that the aggregator is at.
        rho: Digest of its roster; None while READYs are missing.
    """

    attempt: int
    rho: str | None = None


@dataclass(frozen=True, slots=True)
class RosterCame:
    """A roster came.

    Attributes:
        statements: READYs of the cell's members.
        earlier: Every roster that this site ever accepted for the same data.
        agreed: Overlaps that persons here have permitted.
    """

    statements: tuple[SignedStatement, ...]
    earlier: tuple[EarlierRoster, ...] = ()
    agreed: frozenset[Agreement] = frozenset()


@dataclass(frozen=True, slots=True)
class MaskWritten:
    """The masked vector y is on the disk.

    Attributes:
        rho: Of the roster whose keys masked it.
        masked: Digest of the file of y.
        commitment: Computed again, from the salt and the q that was read while masking.
    """

    rho: str
    masked: str
    commitment: str


Event = Asked | RosterCame | MaskWritten


@dataclass(frozen=True, slots=True)
class RecordReady:
    """Record the READY in the site's journal."""

    body: ReadyBody


@dataclass(frozen=True, slots=True)
class SendReady:
    """Sign the READY, with which one body always has one signature, and send it."""

    body: ReadyBody


@dataclass(frozen=True, slots=True)
class FetchRoster:
    """Fetch a roster by its digest, and give it back as `RosterCame`."""

    rho: str


@dataclass(frozen=True, slots=True)
class AskPerson:
    """Ask a person about overlaps; the same roster may come again with what the person has permitted.

    Attributes:
        signers: Of the roster that waits, by name.
        overlaps: What has to be permitted.
    """

    signers: Mapping[str, str]
    overlaps: tuple[Overlap, ...]


@dataclass(frozen=True, slots=True)
class RecordRoster:
    """Record an accepted roster in the site's journal.

    Attributes:
        attempt: Number of the attempt.
        rho: Digest of the roster.
        signers: Fingerprint of each member's signing key.
        commitments: Commitment of each member.
        checked: Members whose keys people of this site have checked.
    """

    attempt: int
    rho: str
    signers: Mapping[str, str]
    commitments: Mapping[str, str]
    checked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WriteMasked:
    """Mask q by blocks into a file, make it durable, and give its digest back as `MaskWritten`.

    Attributes:
        attempt: Number of the attempt.
        rho: Digest of the roster.
        keys: One a peer; they are in memory only, and are let go of when y is written.
    """

    attempt: int
    rho: str
    keys: tuple[MaskKey, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecordMasked:
    """Record y in the site's journal, as what is released."""

    attempt: int
    rho: str
    masked: str


@dataclass(frozen=True, slots=True)
class SendMasked:
    """Send y, with the outcome that names it."""

    attempt: int
    rho: str
    masked: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Fail this exchange at this site for good.

    Attributes:
        kind: For the aggregator.
        reason: For the log of this site.
    """

    kind: FailureKind
    reason: str


Instruction = (
    RecordReady
    | SendReady
    | FetchRoster
    | AskPerson
    | RecordRoster
    | WriteMasked
    | RecordMasked
    | SendMasked
    | Fail
)
