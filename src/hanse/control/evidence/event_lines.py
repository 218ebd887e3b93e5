"""Events of evidence and of sealed models in the lines of a run's timeline."""

from __future__ import annotations

from hanse.core.run.evidence.events import (
    AnswersLost,
    EvidenceEvent,
    InstanceAdmitted,
    InstanceStarted,
    KeysReleased,
    SiteAppraised,
)
from hanse.core.values.wording import format_time, named


def event_lines(event: EvidenceEvent) -> list[str]:
    """Describe an event in lines."""
    match event:
        case InstanceStarted():
            owner = "; the model's owner signed its keys" if event.owner else ""
            return [f"instance {event.instance[:12]} of the aggregator serves the run{owner}"]
        case SiteAppraised():
            return _appraised(event)
        case KeysReleased():
            return [f"instance {event.instance[:12]} of {event.site} may have the keys of the model"]
        case InstanceAdmitted():
            return [f"{event.by} admits another instance of {event.site}: {event.reason}"]
        case AnswersLost():
            return [f"warning: the round is asked again, as its answers cannot be opened: {event.reason}"]


def _appraised(event: SiteAppraised) -> list[str]:
    verdict = event.verdict
    shown = f"{verdict.kind.upper()} evidence of {event.site}"
    rehearsal = " (REHEARSAL)" if event.claims.rehearsal else ""
    if verdict.accepted:
        warned = f"; not affirmed: {named(list(verdict.differing))}" if verdict.differing else ""
        until = format_time(verdict.expires_ms)
        return [f"{shown} is accepted{rehearsal} until {until}{warned}"]
    differing = f"; not affirmed: {named(list(verdict.differing))}" if verdict.differing else ""
    return [f"warning: {shown} is refused{rehearsal}: {verdict.reason}{differing}"]
