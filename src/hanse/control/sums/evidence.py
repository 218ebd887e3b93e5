"""Evidence of masked sums, as it is gathered from the records of a journal."""

from __future__ import annotations

from dataclasses import dataclass, field

from hanse.core.plan.plan import Plan
from hanse.core.run.round_events import ExchangeOpened
from hanse.core.run.sums.events import SumOpened
from hanse.core.values.roster import Roster
from hanse.core.values.sums.ready import ReadyBody, rho_of


@dataclass(frozen=True, slots=True)
class RunName:
    """The run of a journal.

    Attributes:
        federation: Name of the federation.
        run_id: Name of the run.
    """

    federation: str
    run_id: str


@dataclass(slots=True)
class Attempt:
    """One attempt at the sum of a cell.

    Attributes:
        ready: Bodies of the READYs, by site.
        masked: Digest of the vector that each site masked for this attempt, by what the site signed.
    """

    ready: dict[str, ReadyBody] = field(default_factory=dict)
    masked: dict[str, str] = field(default_factory=dict)

    @property
    def rho(self) -> str:
        """Digest of the READYs that are here."""
        return rho_of(list(self.ready.values()))


@dataclass(slots=True)
class CellEvidence:
    """One cell in one exchange.

    Attributes:
        cell: Its name.
        members: Names of its members by the plan, sorted.
        counted: The last exchange before this one that summed the cell; 0 for none.
        attempt: Number of the present attempt.
        attempts: What was stated for each attempt, by its number.
        commitments: First commitment of each member in this exchange.
        reasons: Why each attempt before the present one did not end, in order.
        left_out: Why the cell is not in the sum; empty where it is.
        opened: The event by which its sum was opened; None before.
    """

    cell: str
    members: tuple[str, ...]
    counted: int = 0
    attempt: int = 1
    attempts: dict[int, Attempt] = field(default_factory=dict)
    commitments: dict[str, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    left_out: str = ""
    opened: SumOpened | None = None

    def of(self, attempt: int) -> Attempt:
        """Statements of the members for an attempt."""
        return self.attempts.setdefault(attempt, Attempt())


@dataclass(slots=True)
class MaskedExchange:
    """An exchange whose answers the plan has masked.

    Attributes:
        opened: The event by which it was opened, the last where it was asked again.
        plan: The plan.
        plan_digest: Its digest.
        submitted_ms: When the run was submitted, milliseconds since 1970.
        keys: Fingerprint of the signing key of each site, as the run had them when the exchange opened.
        cells: The cells that are asked, by name.
        closed: Whether it was closed.
        aggregated: Whether its sum was recorded.
    """

    opened: ExchangeOpened
    plan: Plan
    plan_digest: str
    submitted_ms: int
    keys: Roster
    cells: dict[str, CellEvidence]
    closed: bool = False
    aggregated: bool = False

    def cell_of(self, site: str) -> CellEvidence | None:
        """The cell of a site; None where it is in none that is asked."""
        return next((cell for cell in self.cells.values() if site in cell.members), None)
