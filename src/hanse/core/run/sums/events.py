"""Events of masked sums; the roster of an attempt follows from its `SiteReady`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.core.values.schema import BlobDigest, Digest, Strict
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import MOST_ATTEMPTS

Sites = tuple[str, ...]


class SiteReady(Strict):
    """A member of a cell stated its READY for an attempt."""

    kind: Literal["SiteReady"] = "SiteReady"
    exchange: int
    site: str
    cell: str
    attempt: int = Field(ge=1, le=MOST_ATTEMPTS)
    statement: SignedStatement


class SumAttempted(Strict):
    """A further attempt at the sum of a cell began.

    Attributes:
        attempt: Its number, from 2.
        site: The member whose READY began it.
        reason: Why the attempt before it could not end.
    """

    kind: Literal["SumAttempted"] = "SumAttempted"
    exchange: int
    cell: str
    attempt: int = Field(ge=2, le=MOST_ATTEMPTS)
    site: str
    reason: str


class CellLeftOut(Strict):
    """A cell is not in the sum, because members are missing.

    Attributes:
        missing: Members for lack of which it is not: those that failed or left; at the deadline, where none
            did, those for whom it waited. In site order.
    """

    kind: Literal["CellLeftOut"] = "CellLeftOut"
    exchange: int
    cell: str
    missing: Sites
    reason: str


class SumOpened(Strict):
    """The sum of a cell was computed.

    Attributes:
        attempt: Number of the attempt.
        rho: Digest of its roster.
        masked: Digest of each member's masked vector, by site.
        sum: Digest of the file of the sum, modulo the ring.
        num_examples: Sum of the numbers of examples, each at most the plan's `most`; None where not summed.
        error: Largest standard error of a number, relative to its bound; None where there is none.
        clipped: Number of sites whose update was scaled or cut to the plan's bound; None where not summed.
        out_of_range: Number of sites of which another number was cut to its range; None where not summed.
    """

    kind: Literal["SumOpened"] = "SumOpened"
    exchange: int
    cell: str
    attempt: int = Field(ge=1, le=MOST_ATTEMPTS)
    rho: Digest
    masked: dict[str, BlobDigest]
    sum: BlobDigest
    num_examples: int | None = None
    error: float | None = None
    clipped: int | None = None
    out_of_range: int | None = None
