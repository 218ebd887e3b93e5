"""What has to hold of masked sums whatever happened: one vector an exchange, one masked vector a roster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from hanse.core.journal.site_records import ResultReleased, SiteRecord
from hanse.core.journal.sum_records import ReadyReleased, RosterAccepted, SumPrepared
from hanse.core.run.events import Event
from hanse.core.run.round_events import UpdateAccepted
from hanse.core.run.sums.events import SiteReady, SumOpened


def check_events(events: Sequence[Event]) -> None:
    """By a run's journal: a site commits to one vector an exchange, and a sum is opened once."""
    commitments: dict[tuple[int, str], set[object]] = defaultdict(set)
    attempts: dict[tuple[int, str], list[int]] = defaultdict(list)
    masked: dict[tuple[int, str, str], set[str | None]] = defaultdict(set)
    for event in events:
        if isinstance(event, SiteReady):
            commitments[event.exchange, event.site].add(event.statement.body["commitment"])
            attempts[event.exchange, event.site].append(event.attempt)
        if isinstance(event, UpdateAccepted) and event.statement is not None:
            place = event.statement.body["secure_sum"]
            assert place is not None, f"{event.site} has handed a result in that is not masked"
            masked[event.exchange, event.site, place["rho"]].add(event.update)
    assert commitments
    assert all(len(each) == 1 for each in (*commitments.values(), *masked.values()))
    assert all(each == sorted(set(each)) for each in attempts.values())
    opened = [(event.exchange, event.cell) for event in events if isinstance(event, SumOpened)]
    assert len(opened) == len(set(opened)), "a sum is opened twice"


def check_records(site: str, records: Iterable[SiteRecord]) -> None:
    """By a site's journal: one vector an exchange, READYs whose numbers rise, one masked vector a roster."""
    found: dict[tuple[str, int], list[SiteRecord]] = defaultdict(list)
    for read in records:
        if isinstance(read, SumPrepared | ReadyReleased | RosterAccepted) or (
            isinstance(read, ResultReleased) and read.secure_sum is not None
        ):
            found[read.run_id, read.exchange].append(read)
    for exchange, each in found.items():
        _check_exchange(f"{site} in exchange {exchange}", each)


def _check_exchange(where: str, records: Sequence[SiteRecord]) -> None:
    prepared = [each for each in records if isinstance(each, SumPrepared)]
    ready = [each for each in records if isinstance(each, ReadyReleased)]
    rosters = [each.rho for each in records if isinstance(each, RosterAccepted)]
    masked: dict[str, set[str]] = defaultdict(set)
    for each in records:
        if isinstance(each, ResultReleased) and each.secure_sum is not None and each.update is not None:
            masked[each.secure_sum.rho].add(each.update.digest)
    numbers = [each.attempt for each in ready]
    assert len(prepared) == 1, f"{where}: {len(prepared)} vectors"
    assert {each.commitment for each in ready} <= {prepared[0].commitment}, where
    assert numbers == sorted(set(numbers)), f"{where}: numbers {numbers}"
    assert len({each.public for each in ready}) == len(ready), where
    assert len(set(rosters)) == len(rosters), where
    assert masked.keys() <= set(rosters), where
    assert all(len(each) == 1 for each in masked.values()), f"{where}: two masked vectors for a roster"
