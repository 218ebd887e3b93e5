"""Decisions about evidence and sealed models."""

from __future__ import annotations

from hanse.core.run.events import Events
from hanse.core.run.evidence.commands import (
    AdmitInstance,
    EvidenceCommand,
    RecordAppraisal,
    ReleaseKeys,
    StartInstance,
)
from hanse.core.run.evidence.events import (
    AnswersLost,
    InstanceAdmitted,
    InstanceStarted,
    KeysReleased,
    SiteAppraised,
)
from hanse.core.run.run import TERMINAL, Run, must_run
from hanse.core.values.wording import in_phase
from hanse.errors import RunError

MOST_REFUSED_APPRAISALS = 1_000
"""Refused appraisals that are recorded in one run; a hostile site must not fill the disk."""


def decide_evidence(run: Run, command: EvidenceCommand) -> Events:
    """Events that a command comes to.

    Raises:
        RunError: The run is over, or another instance of the site has the keys.
    """
    match command:
        case StartInstance():
            return _start(run, command)
        case RecordAppraisal():
            _must_go_on(run)
            if not command.verdict.accepted and run.refused_appraisals >= MOST_REFUSED_APPRAISALS:
                return ()
            return (SiteAppraised(site=command.site, claims=command.claims, verdict=command.verdict),)
        case ReleaseKeys():
            return _release(run, command)
        case AdmitInstance():
            _must_go_on(run)
            if command.site in run.admitted:
                return ()
            if command.site not in run.released:
                raise RunError(
                    f"no instance of {command.site} has the keys of run {run.run_id}, so that none has to be "
                    "admitted"
                )
            return (InstanceAdmitted(site=command.site, by=command.by, reason=command.reason),)


def _start(run: Run, command: StartInstance) -> Events:
    if run.phase in TERMINAL or run.instance == command.instance:
        return ()
    started = InstanceStarted(
        instance=command.instance, seal=command.seal, speak=command.speak, owner=command.owner
    )
    lost = run.plan.sealed is not None and run.instance is not None and bool(run.exchanges)
    if not lost:
        return (started,)
    return (started, AnswersLost(reason="the instance of the aggregator that could open them has ended"))


def _release(run: Run, command: ReleaseKeys) -> Events:
    must_run(run)
    before = run.released.get(command.site)
    if before == command.instance:
        return ()
    if before is not None and command.site not in run.admitted:
        raise RunError(
            f"instance {before[:12]} of {command.site} has the keys of run {run.run_id}, and this is "
            f"another, {command.instance[:12]}",
            mend=f"If its agent was started again, an operator admits it: hanse run admit {run.run_id} "
            f"{command.site} --reason WHY. If not, two copies of the site run.",
        )
    return (KeysReleased(site=command.site, instance=command.instance),)


def _must_go_on(run: Run) -> None:
    if run.phase in TERMINAL:
        raise RunError(f"run {run.run_id} {in_phase(run.phase)}")
