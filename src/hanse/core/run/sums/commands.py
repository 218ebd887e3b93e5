"""Commands about masked sums: what the aggregator has checked and made durable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hanse.core.values.statements import SignedStatement


@dataclass(frozen=True, slots=True)
class TakeReady:
    """A member's READY, of which signature, context and keys are checked.

    Attributes:
        exchange: Number of the exchange.
        site: The member.
        cell: Its cell.
        attempt: Number of the attempt.
        statement: The READY.
        commitment: The commitment in it.
        reason: Why a further attempt begins; empty where none does.
    """

    exchange: int
    site: str
    cell: str
    attempt: int
    statement: SignedStatement
    commitment: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RecordSum:
    """The sum of a cell was computed; see `SumOpened`."""

    exchange: int
    cell: str
    attempt: int
    rho: str
    masked: Mapping[str, str]
    sum: str
    num_examples: int | None = None
    error: float | None = None
    clipped: int | None = None
    out_of_range: int | None = None
