"""The exchanges of a run that still matter, with what spares a look at all of them after each event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from hanse.core.plan.cohort import Cohort
from hanse.core.run.exchange import Exchange
from hanse.core.values.sorted_map import SortedMap, SortedSet


@dataclass(frozen=True, slots=True, eq=False)
class Exchanges(Mapping[int, Exchange]):
    """Exchanges by number.

    Attributes:
        by_number: All of them.
        asked: Numbers of those of a round, in the order in which they came.
        open: Numbers of those that wait for answers.
        ready: Those of `open` that may close whatever the time is.
        due_ms: No exchange closes by time alone before; None where none is open. A bound that may be
            too low: `refresh` raises it once it is reached.
        streamed: Numbers of the exchanges of a stream, by site.
    """

    by_number: SortedMap[int, Exchange] = field(default_factory=SortedMap)
    asked: tuple[int, ...] = ()
    open: SortedSet[int] = field(default_factory=SortedSet)
    ready: frozenset[int] = frozenset()
    due_ms: int | None = None
    streamed: SortedMap[str, tuple[int, ...]] = field(default_factory=SortedMap)

    @staticmethod
    def of(exchanges: Iterable[Exchange], rules: Cohort) -> Exchanges:
        """These exchanges."""
        made = Exchanges()
        for exchange in exchanges:
            made = made.put(exchange, rules)
        return made

    def __getitem__(self, number: int) -> Exchange:
        return self.by_number[number]

    def __contains__(self, number: object) -> bool:
        return number in self.by_number

    def __len__(self) -> int:
        return len(self.by_number)

    def __iter__(self) -> Iterator[int]:
        return iter(self.by_number)

    def of_round(self, round_number: int | None) -> tuple[Exchange, ...]:
        """Those of a round, in the order in which they were asked."""
        found = (self.by_number[number] for number in self.asked)
        return tuple(sorted((e for e in found if e.round_number == round_number), key=lambda e: e.index))

    def of_stream(self) -> tuple[Exchange, ...]:
        """Those of a stream, in the order of their numbers."""
        return tuple(e for e in self.values() if e.index < 0) if self.streamed else ()

    def waiting(self) -> tuple[Exchange, ...]:
        """Those that wait for answers, in the order of their numbers."""
        return tuple(self.by_number[number] for number in self.open)

    def waiting_with(self, site: str) -> tuple[Exchange, ...]:
        """Those that wait for answers and have this site as a member, in the order of their numbers."""
        numbers = sorted({*self.asked, *self.streamed.get(site, ())}) if self.streamed else self.open
        found = (self.by_number[number] for number in numbers)
        return tuple(e for e in found if e.closed is None and site in e.members)

    def to_settle(self, now_ms: int) -> tuple[Exchange, ...]:
        """Those that may close now, in the order of their numbers; all others wait on."""
        if self.due_ms is not None and now_ms >= self.due_ms:
            return self.waiting()
        return tuple(self.by_number[number] for number in sorted(self.ready))

    def put(self, exchange: Exchange, rules: Cohort) -> Exchanges:
        """With an exchange, in the place of the one that had its number."""
        number, asked, streamed = exchange.number, self.asked, self.streamed
        if number not in self.by_number:
            if exchange.index >= 0:
                asked = (*asked, number)
            else:
                for site in exchange.members:
                    streamed = streamed.set(site, (*streamed.get(site, ()), number))
        if exchange.closed is not None:
            still_open, ready, due_ms = self.open.without(number), self.ready - {number}, self.due_ms
        else:
            still_open = self.open.including(number)
            settles = exchange.outcome(rules, 0) is not None  # at the beginning of all time nothing is due
            ready = self.ready | {number} if settles else self.ready - {number}
            due_ms = exchange.due_ms(rules)
            due_ms = due_ms if self.due_ms is None else min(self.due_ms, due_ms)
        return Exchanges(self.by_number.set(number, exchange), asked, still_open, ready, due_ms, streamed)

    def consumed(self, numbers: Iterable[int]) -> Exchanges:
        """Without those of the round, and without these of a stream."""
        if not self.streamed:
            return Exchanges()
        kept, still_open, streamed = self.by_number, self.open, self.streamed
        gone = {*self.asked, *(n for n in numbers if n in self.by_number)}
        for number in gone:
            for site in self.by_number[number].members if number not in self.asked else ():
                left = tuple(other for other in streamed[site] if other != number)
                streamed = streamed.set(site, left) if left else streamed.without(site)
            kept, still_open = kept.without(number), still_open.without(number)
        return Exchanges(kept, (), still_open, self.ready - gone, self.due_ms, streamed)

    def refresh(self, time_ms: int, rules: Cohort) -> Exchanges:
        """With an exact `due_ms`, where time has reached it."""
        if self.due_ms is None or time_ms < self.due_ms:
            return self
        return replace(self, due_ms=min((e.due_ms(rules) for e in self.waiting()), default=None))
