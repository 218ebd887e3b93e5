"""Consequences of the silence of a site, by the events of its run."""

from __future__ import annotations

from dataclasses import dataclass, field

from hanse.core.run.events import Event
from hanse.core.run.round_events import ExchangeOpened, SiteIdle, TaskFailed, TaskStarted, UpdateAccepted
from hanse.core.run.run_events import RunRecovered, RunResumed, RunStarted, SiteLeft
from hanse.core.run.site_events import SiteReinstated
from hanse.core.run.sums.events import SiteReady

_MOST_EXCHANGES = 64


@dataclass(slots=True)
class _Standing:
    """Where the sites of an exchange stand."""

    needed: int
    working: set[str]
    answered: int = 0
    masked: bool = False


@dataclass(slots=True)
class Silences:
    """Follows who works in each exchange, and who is silent, as far as events say."""

    _exchanges: dict[int, _Standing] = field(default_factory=dict)
    _quiet: set[str] = field(default_factory=set)

    def take_in(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case ExchangeOpened():
                self._exchanges[event.exchange] = _Standing(event.needed, {*event.cohort} - self._quiet)
                self._exchanges[event.exchange].masked = bool(event.members)
                if len(self._exchanges) > _MOST_EXCHANGES:
                    del self._exchanges[min(self._exchanges)]
            case TaskStarted():
                self._quiet.discard(event.site)
                if found := self._exchanges.get(event.exchange):
                    found.working.add(event.site)
            case SiteReady():
                self._quiet.discard(event.site)
            case UpdateAccepted() | TaskFailed():
                self._quiet.discard(event.site)
                if found := self._exchanges.get(event.exchange):
                    found.working.discard(event.site)
                    found.answered += isinstance(event, UpdateAccepted)
            case SiteIdle():
                self._quiet.add(event.site)
                if found := self._exchanges.get(event.exchange):
                    found.working.discard(event.site)
            case SiteLeft():
                for found in self._exchanges.values():
                    found.working.discard(event.site)
            case RunStarted() | RunRecovered() | RunResumed():
                for found in self._exchanges.values():
                    found.working |= self._quiet
                self._quiet.clear()
            case SiteReinstated():
                self._quiet.discard(event.site)
            case _:
                pass

    def describe(self, event: SiteIdle) -> str:
        """Say what follows, once the event has been taken in."""
        silent = f"no sign of {event.site} for {event.silent_s:.0f} s"
        found = self._exchanges.get(event.exchange)
        if found is not None and found.masked:
            return f"{silent}; its cell has no sum without it, and waits for it until the deadline"
        if found is not None and found.answered + len(found.working) < found.needed:
            return (
                f"{silent}; too few can answer without the silent sites: the round waits for them until its "
                "deadline, and fails then"
            )
        return f"{silent}; the round waits for the others only"
