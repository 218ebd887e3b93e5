"""Where each cell of a masked sum stands; the roster of an attempt follows from its READYs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from hanse.core.run.sums.events import Sites
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import read_ready, rho_of

READY = "ready"
"""The phase of a cell that waits for READYs."""

MASKED = "masked"
"""The phase of a cell whose roster is complete, and that waits for masked vectors."""

COMPLETE = "complete"
"""The phase of a cell whose masked vectors are all here."""

LEFT_OUT = "left out"
"""The phase of a cell that is not in the sum."""


@dataclass(frozen=True, slots=True)
class CellStanding:
    """One cell in one exchange.

    Attributes:
        cell: Its name.
        members: In site order.
        counted: The last exchange before this one that summed the cell, of which all members have the local
            state that they start from; 0 for none.
        since_ms: When its present phase began, milliseconds since 1970.
        attempt: Number of the present attempt.
        ready: READYs of the present attempt, by site.
        rho: Digest of the roster of the present attempt; None while READYs are missing.
        masked: Digests of the masked vectors of the present attempt, by site.
        commitments: First commitment of each member in this exchange, by site.
        failed: Members whose task failed, or that left, in site order; not those that lack these alone.
        reason: Why the attempt before could not end; empty for the first.
        left_out: Why the cell is not in the sum; empty where it is.
        sum: Digest of the sum that was recorded; None before.
    """

    cell: str
    members: Sites
    counted: int = 0
    since_ms: int = 0
    attempt: int = 1
    ready: Mapping[str, SignedStatement] = field(default_factory=dict)
    rho: str | None = None
    masked: Mapping[str, str] = field(default_factory=dict)
    commitments: Mapping[str, str] = field(default_factory=dict)
    failed: Sites = ()
    reason: str = ""
    left_out: str = ""
    sum: str | None = None

    @property
    def complete(self) -> bool:
        """Check if every member's masked vector is here."""
        return len(self.masked) == len(self.members)

    @property
    def over(self) -> bool:
        """Check if nothing of its members is taken any more."""
        return self.complete or bool(self.left_out)

    @property
    def lost(self) -> bool:
        """Check if it cannot be complete, as a member failed or left, and is not left out yet."""
        return bool(self.failed) and not self.over

    @property
    def opened(self) -> bool:
        """Check if its sum was recorded."""
        return self.sum is not None

    @property
    def phase(self) -> str:
        """`READY`, `MASKED`, `COMPLETE` or `LEFT_OUT`."""
        if self.left_out:
            return LEFT_OUT
        if self.complete:
            return COMPLETE
        return READY if self.rho is None else MASKED

    @property
    def missing(self) -> Sites:
        """Members for lack of which there is no sum, in site order; the others did their part, or could.

        Those that failed, or, where none did, those that the present phase waits for.
        """
        return self.failed or self.awaited

    @property
    def awaited(self) -> Sites:
        """Members that the present phase waits for, in site order; none of a cell that ended."""
        if self.over:
            return ()
        here = self.ready if self.rho is None else {}
        away = {*here, *self.masked, *self.failed}
        return tuple(site for site in self.members if site not in away)

    def attempted(self, attempt: int, reason: str, time_ms: int) -> CellStanding:
        """As a further attempt begins: without READYs and masked vectors; commitments stay."""
        return replace(self, attempt=attempt, ready={}, rho=None, masked={}, reason=reason, since_ms=time_ms)

    def with_ready(self, site: str, statement: SignedStatement, time_ms: int) -> CellStanding:
        """With a member's READY of the present attempt, of which the rules are checked."""
        body = read_ready(statement.body)
        ready = {**self.ready, site: statement}
        found = replace(self, ready=ready, commitments={site: body.commitment, **self.commitments})
        if ready.keys() != {*self.members}:
            return found
        return replace(found, rho=rho_of(read_ready(s.body) for s in ready.values()), since_ms=time_ms)

    def with_masked(self, site: str, digest: str, time_ms: int) -> CellStanding:
        """With a member's masked vector of the present attempt."""
        found = replace(self, masked={**self.masked, site: digest})
        return replace(found, since_ms=time_ms) if found.complete else found

    def with_failed(self, site: str, *, failed: bool) -> CellStanding:
        """With a member among those that failed, or no longer."""
        others = {*self.failed} - {site}
        return replace(self, failed=tuple(sorted({*others, site} if failed else others)))


@dataclass(frozen=True, slots=True)
class CellCounts:
    """Numbers of cells of an exchange, kept so that no rule has to visit cells or members.

    Attributes:
        cells: All of them.
        complete: Those with every masked vector.
        rostered: Those with a complete roster that are not over.
        lost: Those that lack a member for good and are not left out yet.
        left_out: Those left out.
        sites: Members of all.
        sites_complete: Members of those that are complete.
        sites_out: Members of those that are lost or left out.
    """

    cells: int = 0
    complete: int = 0
    rostered: int = 0
    lost: int = 0
    left_out: int = 0
    sites: int = 0
    sites_complete: int = 0
    sites_out: int = 0

    @staticmethod
    def of(standings: Iterable[CellStanding]) -> CellCounts:
        """Numbers of these cells."""
        counts = CellCounts()
        for standing in standings:
            counts = counts.changed(None, standing)
        return counts

    @property
    def unfinished(self) -> int:
        """Cells that are neither complete nor left out."""
        return self.cells - self.complete - self.left_out

    def changed(self, before: CellStanding | None, after: CellStanding) -> CellCounts:
        """With a cell in the place of what it was; None where it is new."""
        counts = self if before is None else self._plus(before, -1)
        return counts._plus(after, 1)

    def _plus(self, standing: CellStanding, one: int) -> CellCounts:
        size, complete = len(standing.members), standing.complete and not standing.left_out
        lost, left_out = standing.lost, bool(standing.left_out)
        return CellCounts(
            cells=self.cells + one,
            complete=self.complete + one * complete,
            rostered=self.rostered + one * (standing.rho is not None and not standing.over),
            lost=self.lost + one * lost,
            left_out=self.left_out + one * left_out,
            sites=self.sites + one * size,
            sites_complete=self.sites_complete + one * size * complete,
            sites_out=self.sites_out + one * size * (lost or left_out),
        )


NO_CELLS = CellCounts()
"""Of an exchange whose sums are not masked."""
