"""Events of a run: all kinds, and their form in the journal; the run's state is a fold over them.

An event's time is that of its journal record. Names of sites are in site
order (sorted) wherever there are several.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from hanse.core.run.evidence.events import EvidenceEvent
from hanse.core.run.renamed_events import with_present_names
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    ResultRefused,
    RoundCommitted,
    RoundOpened,
    SiteIdle,
    TaskFailed,
    TaskStarted,
    UpdateAccepted,
    UpdatesAggregated,
)
from hanse.core.run.run_events import (
    AggregatorRestored,
    PlanAnswered,
    RunFailed,
    RunFinished,
    RunRecovered,
    RunResumed,
    RunStarted,
    RunStopped,
    RunSubmitted,
    SiteInvited,
    SiteLeft,
    WorkerRestarted,
)
from hanse.core.run.site_events import SiteReinstated, SiteSuspended, SuspensionWaived
from hanse.core.run.sums.events import CellLeftOut, SiteReady, SumAttempted, SumOpened

OtherEvent = (
    RunSubmitted
    | SiteInvited
    | PlanAnswered
    | SiteLeft
    | RunStarted
    | RoundOpened
    | ExchangeOpened
    | TaskStarted
    | SiteIdle
    | SiteReady
    | SumAttempted
    | UpdateAccepted
    | TaskFailed
    | ResultRefused
    | CellLeftOut
    | ExchangeClosed
    | SumOpened
    | UpdatesAggregated
    | RoundCommitted
    | SiteSuspended
    | SuspensionWaived
    | SiteReinstated
    | WorkerRestarted
    | RunRecovered
    | AggregatorRestored
    | RunResumed
    | RunStopped
    | RunFailed
    | RunFinished
)
"""Events of every run, except those of evidence."""

Event = OtherEvent | EvidenceEvent

Events = tuple[Event, ...]

_ANY: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def event_body(event: Event) -> dict[str, Any]:
    """The event as the journal keeps it, without its kind."""
    return event.model_dump(mode="json", exclude={"kind"})


def read_event(kind: str, body: dict[str, Any]) -> Event:
    """Read an event from a journal record, of this version or of 0.1.

    Raises:
        ValueError: This version knows no such event, or not with such a body.
    """
    if "kind" in body:
        raise ValueError(f"{kind} states a kind in its body")
    kind, body = with_present_names(kind, body)
    return _ANY.validate_python({"kind": kind, **body})
