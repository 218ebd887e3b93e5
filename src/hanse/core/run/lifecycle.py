"""Decisions about a run as a whole: submission, answers to the plan, interruptions and the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.core.journal.chain import ChainHead
from hanse.core.plan.manifest import Manifest
from hanse.core.run.events import Events
from hanse.core.run.run import TERMINAL, Phase, Run, must_run
from hanse.core.run.run_events import (
    AggregatorRestored,
    PlanAnswered,
    RunFailed,
    RunFinished,
    RunRecovered,
    RunResumed,
    RunStopped,
    RunSubmitted,
    SiteInvited,
    SiteLeft,
    WorkerRestarted,
)
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.core.values.wording import in_phase
from hanse.errors import RunError, WorkflowError

MAX_RESTARTS = 3
"""Restarts of a run's worker within one round before the run fails."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Begin a run of a plan.

    Attributes:
        members: The last record of the membership; None where there is no membership.
        chosen: Whether the operator chose the invited sites, so that no others are asked.
    """

    run_id: str
    manifest: Manifest
    plan_digest: str
    submitted_by: str
    invited: tuple[str, ...]
    members: ChainHead | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Invite:
    """Ask one more site for its answer to the plan.

    Attributes:
        key: Fingerprint of the site's signing key. Who agreed with another key is asked again.
    """

    site: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """A site's answer to the plan.

    Attributes:
        signer: Fingerprint of the key that the statement is signed with.
    """

    site: str
    accepted: bool
    reasons: tuple[str, ...] = ()
    statement: SignedStatement | None = None
    signer: str | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """A site no longer takes part."""

    site: str
    reason: str


@dataclass(frozen=True, slots=True)
class RestartWorker:
    """The workflow's process ended early."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recover:
    """The aggregator came back after a crash or an upgrade."""


@dataclass(frozen=True, slots=True)
class NameRestore:
    """Have the run's journal name the latest restore of the aggregator that an operator acknowledged.

    Attributes:
        record: Its record in the membership.
        statement: The operator's.
    """

    record: ChainHead
    statement: CertifiedStatement


@dataclass(frozen=True, slots=True)
class Resume:
    """An operator takes the run up again.

    Attributes:
        keys: Fingerprint of each site's signing key. Who agreed with another key is asked again.
    """

    by: str
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stop:
    """An operator ends the run."""

    by: str
    reason: str = "stopped by an operator"


@dataclass(frozen=True, slots=True)
class Fail:
    """The run cannot go on."""

    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The workflow's function returned."""


def submit(command: Submit) -> RunSubmitted:
    """Begin the run."""
    return RunSubmitted(
        run_id=command.run_id,
        plan_digest=command.plan_digest,
        manifest=command.manifest,
        submitted_by=command.submitted_by,
        invited=tuple(sorted(command.invited)),
        members=command.members,
        chosen=command.chosen,
    )


def invite(run: Run, command: Invite) -> Events:
    """Ask a site that has not been asked yet, that had left, or that agreed with another signing key.

    Where an operator chose the sites, none but those.
    """
    if run.chosen and command.site not in run.invited:
        return ()
    agreed_with = run.roster.get(command.site, command.key)
    if run.phase in TERMINAL or (_takes_part(run, command.site) and agreed_with == command.key):
        return ()
    return (SiteInvited(site=command.site),)


def answer_plan(run: Run, command: AnswerPlan) -> Events:
    """Count a site's answer to the plan; the same answer again changes nothing."""
    if run.phase in TERMINAL:
        raise RunError(f"run {run.run_id} {in_phase(run.phase)}; its plan needs no answer any more")
    if not _takes_part(run, command.site):
        raise RunError(f"{command.site} is not invited to run {run.run_id}")
    same_key = run.roster.get(command.site) == command.signer
    if run.answers.get(command.site) is command.accepted and (same_key or not command.accepted):
        return ()
    return (
        PlanAnswered(
            site=command.site,
            accepted=command.accepted,
            reasons=command.reasons,
            statement=command.statement,
            signer=command.signer,
        ),
    )


def leave(run: Run, command: Leave) -> Events:
    """Note that a site is gone; noting it again changes nothing."""
    if run.phase in TERMINAL or not _takes_part(run, command.site):
        return ()
    return (SiteLeft(site=command.site, reason=command.reason),)


def restart_worker(run: Run, command: RestartWorker) -> Events:
    """Restart the workflow's process, a few times in one round; then the run fails."""
    must_run(run)
    if run.restarts >= MAX_RESTARTS:
        times = f"{run.restarts + 1} times in one round"
        why = f"the workflow's process ended {times}; at last: {command.reason}"
        return (RunFailed(error=WorkflowError.code, reason=why),)
    return (WorkerRestarted(reason=command.reason),)


def recover(run: Run) -> Events:
    """Note that the aggregator came back.

    Before its start, a run asks those again whose consent names no signing key; a run under way asks them
    meanwhile, see `Run.unsigned`.
    """
    if run.phase in TERMINAL:
        return ()
    again = run.unsigned if run.phase is Phase.SUBMITTED else ()
    return (RunRecovered(), *(SiteInvited(site=site) for site in again))


def name_restore(run: Run, command: NameRestore) -> Events:
    """Name a restore, once, also in a run that is over."""
    if run.restored == command.record:
        return ()
    return (AggregatorRestored(record=command.record, statement=command.statement),)


def resume(run: Run, command: Resume) -> Events:
    """Resume a run that was stopped or has failed."""
    if run.phase not in (Phase.FAILED, Phase.STOPPED):
        raise RunError(f"run {run.run_id} {in_phase(run.phase)}; only a stopped or failed run can be resumed")
    changed = (site for site, key in run.roster.items() if command.keys.get(site, key) != key)
    again = sorted({*run.unsigned, *changed})
    return (*(SiteInvited(site=site) for site in again), RunResumed(by=command.by))


def stop(run: Run, command: Stop) -> Events:
    """Stop a run that is not finished; stopping it again changes nothing."""
    if run.phase is Phase.STOPPED:
        return ()
    if run.phase is Phase.FINISHED:
        raise RunError(f"run {run.run_id} is finished already")
    return (RunStopped(by=command.by, reason=command.reason),)


def fail(run: Run, command: Fail) -> Events:
    """End the run with an error, unless it is over."""
    return () if run.phase in TERMINAL else (RunFailed(error=command.error, reason=command.reason),)


def finish(run: Run) -> Events:
    """End the run with its last model; without any commit it has failed."""
    must_run(run)
    if run.committed < 0:
        return (
            RunFailed(
                error=WorkflowError.code,
                reason="the workflow ended before it had begun: it looked at no model and asked no round. "
                "Does its loop over `federation.rounds()` run?",
            ),
        )
    best = run.best.round_number if run.best else None
    rounds, results = max(run.committed, 0), dict(run.results)
    return (RunFinished(rounds=rounds, model=run.model, best_round=best, results=results),)


def _takes_part(run: Run, site: str) -> bool:
    return site in run.invited and site not in run.left
