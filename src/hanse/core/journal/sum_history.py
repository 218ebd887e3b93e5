"""Masked sums of a site, as its journal has them: a fold over the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from hanse.core.journal.site_records import FailureReleased, ResultReleased, SiteRecord
from hanse.core.journal.sum_records import (
    CellsAgreed,
    FailuresPermitted,
    ReadyReleased,
    RosterAccepted,
    SumPrepared,
)

_Run = tuple[str, str]
"""A run, and the digest of its plan: of a federation that was set up again, runs may have earlier names."""
_Source = tuple[str, str]
"""A data source by one of its marks: its name, or the digest of its path."""

_UNDECLARED: _Source = ("", "")
"""The data of plans that declare none: what their code reads is taken for the same."""


@dataclass(frozen=True, slots=True)
class ReleasedVector:
    """A masked vector that was recorded: its attempt, and the digest of its file."""

    attempt: int
    digest: str


@dataclass(frozen=True, slots=True)
class ExchangeSum:
    """Records of one exchange.

    Attributes:
        prepared: The vector.
        last: Highest number of a READY that was released; 0 for none.
        signers: Fingerprint of each member's signing key in the first accepted roster; empty for none.
        commitments: Commitment of each member in the same roster.
        masked: Masked vectors, by the digest of their roster.
    """

    prepared: SumPrepared
    last: int = 0
    signers: Mapping[str, str] = field(default_factory=dict)
    commitments: Mapping[str, str] = field(default_factory=dict)
    masked: Mapping[str, ReleasedVector] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AcceptedRoster:
    """A roster that was accepted.

    Attributes:
        plan_digest: Of the first plan that had it for the same data.
        cell: Name of the cell there.
        signers: Fingerprint of the signing key of each member.
    """

    plan_digest: str
    cell: str
    signers: Mapping[str, str]


class SumHistory:
    """Remembers what decides about further masked sums.

    Memory: for each run one exchange, the last (at most 64 members and 16 attempts), and one entry for each
    earlier number; for each data source the different sets of signing keys that it was summed with, and not
    the exchanges; each key once a plan; a person's words. None of it may be forgotten.
    """

    def __init__(self) -> None:
        self._last: dict[_Run, ExchangeSum] = {}
        self._accepted: dict[_Run, dict[int, bool]] = {}
        self._seen: dict[str, dict[str, str]] = {}
        self._keys: dict[str, tuple[str, ...]] = {}
        self._rosters: dict[_Source, dict[frozenset[str], AcceptedRoster]] = {}
        self._colluders: dict[_Source, int] = {}
        self._agreed: dict[_Source, set[tuple[frozenset[str], frozenset[str]]]] = {}
        self._failures: set[tuple[_Run, int]] = set()

    def add(self, record: SiteRecord) -> None:
        """Take in a record; most kinds say nothing about sums."""
        match record:
            case SumPrepared():
                self._prepare(record)
            case ReadyReleased():
                self._update(record, last=record.attempt)
            case RosterAccepted():
                self._accept(record)
            case ResultReleased(secure_sum=place, update=update) if place is not None and update is not None:
                if (known := self._of(record)) is not None:
                    vector = ReleasedVector(place.attempt, update.digest)
                    self._last[_run(record)] = replace(known, masked={**known.masked, place.rho: vector})
            case CellsAgreed():
                new = frozenset(record.signers.values())
                pairs = {(new, frozenset(each.signers.values())) for each in record.overlaps}
                for source in _sources(record.data, record.paths):
                    self._agreed.setdefault(source, set()).update(pairs)
            case FailureReleased(of_data=True):
                self._failures.add((_run(record), record.exchange))
            case FailuresPermitted():
                self._failures.clear()
            case _:
                pass

    def agreed(
        self, data: tuple[str, ...], paths: tuple[str, ...]
    ) -> frozenset[tuple[frozenset[str], frozenset[str]]]:
        """Sets of fingerprints that persons have permitted together: the new one, the earlier one.

        For every one of these data sources that has the earlier one: a yes for others says nothing of it.

        Args:
            data: Names of the data sources.
            paths: Digests of their paths.
        """
        sources = tuple(_sources(data, paths))
        found = {pair for source in sources for pair in tuple(self._agreed.get(source, ()))}
        return frozenset(
            (new, old)
            for new, old in found
            if all(
                (new, old) in self._agreed.get(source, ())
                for source in sources
                if old in self._rosters.get(source, {})
            )
        )

    @property
    def has_paths(self) -> bool:
        """True if paths of data sources are recorded, by their digests."""
        return any(kind == "path" for kind, _ in tuple(self._rosters))

    def last(self, run_id: str, plan_digest: str) -> ExchangeSum | None:
        """The last exchange of a run that was prepared; None for none."""
        return self._last.get((run_id, plan_digest))

    def seen(self, plan_digest: str) -> dict[str, str]:
        """Fingerprints by name, as they were first seen in runs of a plan."""
        return dict(self._seen.get(plan_digest, {}))

    def key_of(self, name: str, digits: str) -> str | None:
        """The whole fingerprint that was first seen of a name and begins with these digits; None for none."""
        return next((key for key in self._keys.get(name, ()) if key.startswith(digits)), None)

    def rosters(self, data: tuple[str, ...], paths: tuple[str, ...]) -> tuple[AcceptedRoster, ...]:
        """Every accepted roster over any of these data sources, each set of keys once.

        Args:
            data: Names of the data sources.
            paths: Digests of their paths.
        """
        found: dict[frozenset[str], AcceptedRoster] = {}
        for source in _sources(data, paths):
            for keys, roster in tuple(self._rosters.get(source, {}).items()):
                found.setdefault(keys, roster)
        return tuple(found.values())

    def colluders(self, data: tuple[str, ...], paths: tuple[str, ...]) -> int:
        """Largest number of colluders that was assumed where any of these sources was summed; 0 for none."""
        return max((self._colluders.get(source, 0) for source in _sources(data, paths)), default=0)

    def accepted(self, run_id: str, plan_digest: str, exchange: int) -> bool:
        """Check if a roster of an exchange was accepted, so that the local state that it left may count."""
        return self._accepted.get((run_id, plan_digest), {}).get(exchange, False)

    @property
    def failures(self) -> int:
        """Number of exchanges, of all runs, that failed for what may be reasons of the data.

        From the last time on that a person permitted further tasks. Not by run or plan: who may begin runs
        could have as many failures as runs.
        """
        return len(self._failures)

    def _prepare(self, record: SumPrepared) -> None:
        self._last[_run(record)] = ExchangeSum(record)
        self._accepted.setdefault(_run(record), {}).setdefault(record.exchange, False)

    def _of(self, record: ReadyReleased | RosterAccepted | ResultReleased) -> ExchangeSum | None:
        known = self._last.get(_run(record))
        return known if known is not None and known.prepared.exchange == record.exchange else None

    def _update(self, record: ReadyReleased, *, last: int) -> None:
        if (known := self._of(record)) is not None:
            self._last[_run(record)] = replace(known, last=max(known.last, last))

    def _accept(self, record: RosterAccepted) -> None:
        for name, key in record.signers.items():
            self._seen.setdefault(record.plan_digest, {}).setdefault(name, key)
            if key not in self._keys.get(name, ()):
                self._keys[name] = (*self._keys.get(name, ()), key)
        known = self._of(record)
        if known is None:
            return
        if not known.commitments:
            first = replace(known, signers=record.signers, commitments=record.commitments)
            self._last[_run(record)] = first
        self._accepted[_run(record)][record.exchange] = True
        told = known.prepared
        roster = AcceptedRoster(record.plan_digest, told.cell, record.signers)
        for source in _sources(told.data, told.paths):
            of_source = self._rosters.setdefault(source, {})
            of_source.setdefault(frozenset(record.signers.values()), roster)
            self._colluders[source] = max(self._colluders.get(source, 0), told.colluders)


def _run(
    record: SumPrepared | ReadyReleased | RosterAccepted | ResultReleased | FailureReleased,
) -> _Run:
    return record.run_id, record.plan_digest


def _sources(data: tuple[str, ...], paths: tuple[str, ...]) -> Iterator[_Source]:
    if not data and not paths:
        yield _UNDECLARED
    for name in data:
        yield "data", name
    for digest in paths:
        yield "path", digest
