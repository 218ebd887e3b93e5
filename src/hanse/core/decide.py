"""What a run does about a command: the events that follow, or an error.

Pure: the state, the command and the time come in, events go out. Whoever
calls writes the events down and applies them with `hanse.core.run.evolve`.
"""

from __future__ import annotations

from hanse.core.answers import accept_result, fail_task, refuse_result, start_task
from hanse.core.commands import (
    AcceptResult,
    AnswerPlan,
    Command,
    Commit,
    Fail,
    FailTask,
    Finish,
    Invite,
    Leave,
    OpenExchange,
    OpenRound,
    OpenStream,
    RecordAggregate,
    Recover,
    RefuseResult,
    RestartWorker,
    Resume,
    StartTask,
    Stop,
    Submit,
    TakeBack,
    Tick,
)
from hanse.core.events import (
    Event,
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
from hanse.core.requests import (
    commit,
    must_run,
    open_exchange,
    open_round,
    open_stream,
    record_aggregate,
)
from hanse.core.resting import take_back
from hanse.core.run import TERMINAL, Phase, Run, evolve
from hanse.core.timing import settle, tick
from hanse.errors import RunError, WorkflowError

MAX_RESTARTS = 3
"""Restarts of a run's worker within one round before the run fails."""

Events = tuple[Event, ...]


def decide(run: Run | None, command: Command, now_ms: int) -> Events:
    """Say what follows from a command.

    Args:
        run: The run as it stands; None before `Submit`.
        command: What is asked.
        now_ms: The time, milliseconds since 1970.

    Returns:
        Events in order; none where the command changes nothing (a repetition).

    Raises:
        RunError: The run's phase, or what happened before, forbids the command.
    """
    if isinstance(command, Submit):
        first = _submit(run, command)
        after = evolve(None, first, now_ms)
        return (first, *settle(after, now_ms))
    if run is None:
        raise RunError(f"there is no run yet to take {type(command).__name__}")
    events = _direct(run, command, now_ms)
    for event in events:
        run = evolve(run, event, now_ms)
    return (*events, *settle(run, now_ms))


def _direct(run: Run, command: Command, now_ms: int) -> Events:
    match command:
        case Submit():
            raise AssertionError("handled by decide")
        case Invite(site):
            known = site in run.invited and site not in run.left
            return () if run.phase in TERMINAL or known else (SiteInvited(site=site),)
        case AnswerPlan():
            return _answer(run, command)
        case Leave(site, reason):
            part = site in run.invited and site not in run.left and run.phase not in TERMINAL
            return (SiteLeft(site=site, reason=reason),) if part else ()
        case OpenRound(round_number):
            return open_round(run, round_number, now_ms)
        case OpenExchange():
            return open_exchange(run, command)
        case OpenStream():
            return open_stream(run, command, now_ms)
        case StartTask():
            return start_task(run, command)
        case AcceptResult():
            return accept_result(run, command)
        case FailTask():
            return fail_task(run, command)
        case RefuseResult():
            return refuse_result(run, command)
        case RecordAggregate():
            return record_aggregate(run, command)
        case Commit():
            return commit(run, command, now_ms)
        case Tick():
            return tick(run, command, now_ms)
        case RestartWorker(reason):
            must_run(run)
            if run.restarts >= MAX_RESTARTS:
                why = f"the workflow's process ended {run.restarts + 1} times in one round; at last: {reason}"
                return (RunFailed(error=WorkflowError.code, reason=why),)
            return (WorkerRestarted(reason=reason),)
        case Recover():
            return () if run.phase in TERMINAL else (RunRecovered(),)
        case Resume(by):
            if run.phase not in (Phase.FAILED, Phase.STOPPED):
                raise RunError(
                    f"run {run.run_id} is {run.phase}; only a stopped or failed run can be resumed"
                )
            return (RunResumed(by=by),)
        case TakeBack():
            return take_back(run, command)
        case Stop(by, reason):
            if run.phase is Phase.STOPPED:
                return ()
            if run.phase is Phase.FINISHED:
                raise RunError(f"run {run.run_id} is finished already")
            return (RunStopped(by=by, reason=reason),)
        case Fail(error, reason):
            return () if run.phase in TERMINAL else (RunFailed(error=error, reason=reason),)
        case Finish():
            must_run(run)
            best = run.best.round_number if run.best else None
            return (RunFinished(rounds=max(run.committed, 0), model=run.model, best_round=best),)


def _submit(run: Run | None, command: Submit) -> RunSubmitted:
    if run is not None:
        raise RunError(f"run {run.run_id} was submitted already")
    return RunSubmitted(
        run_id=command.run_id,
        plan_digest=command.plan_digest,
        manifest=command.manifest,
        submitted_by=command.submitted_by,
        invited=tuple(sorted(command.invited)),
    )


def _answer(run: Run, command: AnswerPlan) -> Events:
    if run.phase in TERMINAL:
        raise RunError(f"run {run.run_id} is {run.phase}; its plan needs no answer any more")
    if command.site not in run.invited or command.site in run.left:
        raise RunError(f"{command.site} is not invited to run {run.run_id}")
    if run.answers.get(command.site) is command.accepted:
        return ()
    return (
        PlanAnswered(
            site=command.site,
            accepted=command.accepted,
            reasons=command.reasons,
            statement=command.statement,
        ),
    )
