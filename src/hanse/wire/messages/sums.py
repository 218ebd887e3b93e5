"""Messages of secure aggregation: which attempt is asked, READYs, and rosters."""

from __future__ import annotations

from pydantic import Field

from hanse.core.values.schema import Digest, Label, Strict
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import MOST_ATTEMPTS, MOST_MEMBERS
from hanse.wire.messages.basics import RunId


class SumAsked(Strict):
    """Attempt that the aggregator waits for in one cell.

    Attributes:
        cell: The site's cell.
        attempt: Number of the attempt.
        rho: Digest of the attempt's roster; None while READYs are missing.
    """

    cell: Label
    attempt: int = Field(ge=1, le=MOST_ATTEMPTS)
    rho: Digest | None = None


class SumReadyRequest(Strict):
    """A site's signed READY; see `hanse.core.values.sums.ready`."""

    run_id: str = RunId
    statement: SignedStatement


class SumRoster(Strict):
    """The READYs of all members of a cell.

    Attributes:
        ready: By the name of the site, in site order.
    """

    ready: tuple[SignedStatement, ...] = Field(max_length=MOST_MEMBERS)
