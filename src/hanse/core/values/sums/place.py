"""Place of a masked vector: the cell, the attempt and the roster that it was masked for."""

from __future__ import annotations

from pydantic import Field

from hanse.core.values.schema import Digest, Label, Strict
from hanse.core.values.sums.ready import MOST_ATTEMPTS


class SumPlace(Strict):
    """Where a masked vector belongs.

    Attributes:
        cell: Name of the cell.
        attempt: Number of the attempt.
        rho: Digest of the roster.
    """

    cell: Label
    attempt: int = Field(ge=1, le=MOST_ATTEMPTS)
    rho: Digest
