"""A run after events of evidence and of sealed models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hanse.core.run.events import Event
from hanse.core.run.evidence.events import (
    AnswersLost,
    EvidenceEvent,
    InstanceAdmitted,
    InstanceStarted,
    KeysReleased,
    SiteAppraised,
)
from hanse.core.run.evidence_rules.lost_answers import answers_lost
from hanse.core.run.run import TERMINAL, Phase, Run

_ALIVE = {phase: phase for phase in Phase if phase not in TERMINAL}

EVIDENCE_PHASES: Mapping[type[Event], Mapping[Phase, Phase]] = {
    InstanceStarted: _ALIVE,
    SiteAppraised: _ALIVE,
    KeysReleased: {Phase.RUNNING: Phase.RUNNING},
    InstanceAdmitted: _ALIVE,
    AnswersLost: _ALIVE,
}
"""Next phase by event and present phase, as in `hanse.core.run.evolve`."""


def evolve_evidence(run: Run, event: EvidenceEvent, time_ms: int) -> Run:
    """Apply an event to a run."""
    match event:
        case InstanceStarted():
            return replace(run, instance=event.instance)
        case SiteAppraised():
            return replace(run, refused_appraisals=run.refused_appraisals + (not event.verdict.accepted))
        case KeysReleased():
            released = run.released.set(event.site, event.instance)
            return replace(run, released=released, admitted=run.admitted.without(event.site))
        case InstanceAdmitted():
            return replace(run, admitted=run.admitted.including(event.site))
        case AnswersLost():
            return answers_lost(run, time_ms)
