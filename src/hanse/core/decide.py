"""What a run does about a command: the events that follow, or an error.

Pure: the state, the command and the time come in, events go out. Whoever
calls writes the events down and applies them with `hanse.core.run.evolve`.
"""

from __future__ import annotations

from hanse.core.cohort import needed, select
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
    Tick,
)
from hanse.core.events import (
    Event,
    ExchangeClosed,
    ExchangeOpened,
    PlanAnswered,
    ResultRefused,
    RoundCommitted,
    RoundOpened,
    RunFailed,
    RunFinished,
    RunRecovered,
    RunResumed,
    RunStarted,
    RunStopped,
    RunSubmitted,
    SiteIdle,
    SiteInvited,
    SiteLeft,
    TaskFailed,
    TaskStarted,
    UpdateAccepted,
    UpdatesAggregated,
    WorkerRestarted,
)
from hanse.core.exchange import Exchange, MemberState, Shortfall, deadline_ms, outcome
from hanse.core.plan import INITIALISE
from hanse.core.run import TERMINAL, Phase, Run, evolve, improves
from hanse.errors import LateResultError, QuorumError, RunError, WorkflowError

MAX_REFUSALS = 1_000
"""Refused results that are recorded in one run; a hostile site must not fill the disk."""
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
        return (first, *_settle(after, now_ms))
    if run is None:
        raise RunError(f"there is no run yet to take {type(command).__name__}")
    events = _direct(run, command, now_ms)
    for event in events:
        run = evolve(run, event, now_ms)
    return (*events, *_settle(run, now_ms))


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
            return _open_round(run, round_number)
        case OpenExchange():
            return _open_exchange(run, command)
        case OpenStream():
            return _open_stream(run, command)
        case StartTask(number, site):
            state = _member(run, number, site)[1]
            resting = state in (MemberState.ASSIGNED, MemberState.IDLE)
            return (TaskStarted(exchange=number, site=site),) if resting else ()
        case AcceptResult():
            return _accept(run, command)
        case FailTask():
            return _fail_task(run, command)
        case RefuseResult(number, site, error, reason):
            if run.refused_results >= MAX_REFUSALS:
                return ()
            return (ResultRefused(exchange=number, site=site, error=error, reason=reason),)
        case RecordAggregate():
            return _record_aggregate(run, command)
        case Commit():
            return _commit(run, command)
        case Tick():
            return _tick(run, command, now_ms)
        case RestartWorker(reason):
            _must_run(run)
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
        case Stop(by, reason):
            if run.phase is Phase.STOPPED:
                return ()
            if run.phase is Phase.FINISHED:
                raise RunError(f"run {run.run_id} is finished already")
            return (RunStopped(by=by, reason=reason),)
        case Fail(error, reason):
            return () if run.phase in TERMINAL else (RunFailed(error=error, reason=reason),)
        case Finish():
            _must_run(run)
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


def _must_run(run: Run) -> None:
    if run.phase is not Phase.RUNNING:
        tail = f" ({run.reason})" if run.reason else ""
        raise RunError(f"run {run.run_id} is {run.phase}{tail}")


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


def _open_round(run: Run, round_number: int) -> Events:
    _must_run(run)
    if run.round_open == round_number:
        return ()
    if run.round_open is not None or round_number != run.committed + 1:
        raise WorkflowError(
            f"the workflow opened round {round_number}; the next round is {run.committed + 1}",
            mend="Commit each round before the next one begins.",
        )
    population, plan = run.population, run.plan
    if round_number == 0:  # the first model: one site is asked, whoever it is
        return (RoundOpened(round_number=0, cohort=population, population=population),)
    if len(population) < plan.cohort.minimum:
        why = f"round {round_number}: the plan needs {plan.cohort.minimum} sites, {len(population)} take part"
        gone = "".join(f"; {site} left: {text}" for site, text in sorted(run.left.items()))
        return (RunFailed(error=QuorumError.code, reason=why + gone),)
    cohort = select(plan.cohort, plan.seed, round_number, population)
    return (RoundOpened(round_number=round_number, cohort=cohort, population=population),)


def _open_exchange(run: Run, command: OpenExchange) -> Events:
    _must_run(run)
    if command.round_number != run.round_open:
        raise WorkflowError(f"the workflow asked in round {command.round_number}, which is not open")
    before = run.in_round()
    if command.index < len(before):
        _must_match(before[command.index], command)
        return ()
    if command.index > len(before):
        raise WorkflowError(f"exchange {command.index} of round {run.round_open} was asked before its turn")
    if command.task != INITIALISE and command.task not in run.plan.tasks:
        known = ", ".join(run.plan.tasks)
        raise WorkflowError(f"the workflow asked for a task {command.task!r}; the plan's tasks are: {known}")
    cohort = run.cohort if command.sites is None else tuple(sorted(set(command.sites)))
    strangers = sorted(set(cohort) - set(run.population)) if command.sites is not None else []
    if strangers or not cohort:
        raise WorkflowError(
            f"the workflow asked {', '.join(strangers) or 'nobody'}; not in the run's population"
        )
    return (
        ExchangeOpened(
            exchange=run.last_exchange + 1,
            round_number=command.round_number,
            index=command.index,
            task=command.task,
            model=command.model,
            cohort=cohort,
            needed=needed(run.plan.cohort, len(cohort)) if command.sites is None else 0,
        ),
    )


def _must_match(found: Exchange, command: OpenExchange) -> None:
    same = found.task == command.task and found.model == command.model
    if command.sites is not None:
        same = same and sorted(set(command.sites)) == sorted(found.members)
    if not same:
        raise WorkflowError(
            f"after a restart the workflow asked something else in round {command.round_number}: "
            f"task {command.task} on model {str(command.model)[:12]}, before it was {found.task} on "
            f"{str(found.model)[:12]}",
            mend="A workflow must do the same again from the last commit: take randomness from "
            "`federation.random` only, and no time or outside state.",
        )


def _open_stream(run: Run, command: OpenStream) -> Events:
    _must_run(run)
    if command.task not in run.plan.tasks:
        known = ", ".join(run.plan.tasks)
        raise WorkflowError(f"the workflow streams a task {command.task!r}; the plan's tasks are: {known}")
    pending = [e for e in run.stream() if e.number not in command.taken]
    # A site is busy while it works, and until the workflow has been given what it sent.
    # One that failed rests until the next commit, so that it cannot fail in a tight circle.
    busy = {site for e in pending for site in e.members}
    busy |= {site for e in run.stream() for site in e.failed}
    free = [site for site in run.population if site not in busy]
    if not free and all(e.closed is not None and not e.answered for e in pending):
        why = "; ".join(f"{s}: {e.members[s].reason}" for e in pending for s in e.members)
        return (RunFailed(error=QuorumError.code, reason=f"no site of the stream answers any more: {why}"),)
    return tuple(
        ExchangeOpened(
            exchange=run.last_exchange + 1 + place,
            round_number=run.committed + 1,
            index=-1,
            task=command.task,
            model=command.model,
            cohort=(site,),
            needed=0,
        )
        for place, site in enumerate(free)
    )


def _member(run: Run, number: int, site: str) -> tuple[Exchange, MemberState]:
    """The exchange and where the site stands in it, if its word still counts."""
    if run.phase is not Phase.RUNNING:
        raise LateResultError(f"run {run.run_id} is {run.phase}; results are no longer taken")
    if number > run.last_exchange:
        raise RunError(f"run {run.run_id} has no exchange {number}")
    exchange = run.exchanges.get(number)
    if exchange is None:
        raise LateResultError(f"exchange {number} of run {run.run_id} is over; {site} joins the next round")
    if site not in exchange.members:
        raise RunError(f"{site} was not asked in exchange {number} of run {run.run_id}")
    state = exchange.members[site].state
    if exchange.closed is not None and state is not MemberState.ANSWERED:
        raise LateResultError(
            f"exchange {number} of run {run.run_id} closed ({exchange.closed}) before {site} answered; "
            f"it joins the next round"
        )
    return exchange, state


def _accept(run: Run, command: AcceptResult) -> Events:
    state = _member(run, command.exchange, command.site)[1]
    if state is MemberState.ANSWERED:
        return ()  # a retry whose reply was lost: the first one counts
    if state is MemberState.FAILED:
        raise LateResultError(f"{command.site} reported exchange {command.exchange} as failed before")
    return (
        UpdateAccepted(
            exchange=command.exchange,
            site=command.site,
            num_examples=command.num_examples,
            metrics=dict(command.metrics),
            update=command.update,
            statement=command.statement,
        ),
    )


def _fail_task(run: Run, command: FailTask) -> Events:
    state = _member(run, command.exchange, command.site)[1]
    if state in (MemberState.ANSWERED, MemberState.FAILED):
        return ()
    return (
        TaskFailed(
            exchange=command.exchange,
            site=command.site,
            reason=command.reason,
            log_tail=command.log_tail,
            statement=command.statement,
        ),
    )


def _record_aggregate(run: Run, command: RecordAggregate) -> Events:
    _must_run(run)
    exchange = run.exchanges.get(command.exchange)
    if exchange is None or exchange.closed is None:
        raise RunError(f"exchange {command.exchange} of run {run.run_id} has no sum: it is not closed")
    if exchange.aggregated:
        return ()
    return (
        UpdatesAggregated(
            exchange=command.exchange,
            sites=command.sites,
            num_examples=command.num_examples,
            aggregate=command.aggregate,
        ),
    )


def _commit(run: Run, command: Commit) -> Events:
    _must_run(run)
    if command.round_number == run.committed and command.model == run.model:
        return ()
    if command.round_number != run.committed + 1:
        raise WorkflowError(
            f"the workflow committed round {command.round_number}; the next to commit is {run.committed + 1}"
        )
    best, goal = False, run.plan.keep_best
    for wanted in (goal, run.plan.early_stop):
        if wanted is not None and command.round_number > 0 and wanted.metric not in command.metrics:
            known = ", ".join(sorted(command.metrics)) or "none"
            raise WorkflowError(
                f"round {command.round_number} was committed without the metric {wanted.metric!r} that the "
                f"plan's keep_best or early_stop needs; committed: {known}"
            )
    if goal is not None and command.round_number > 0:
        best = improves(goal, command.metrics[goal.metric], run.best)
    return (
        RoundCommitted(
            round_number=command.round_number,
            model=command.model,
            metrics=dict(command.metrics),
            state=command.state,
            best=best,
            consumed=command.consumed,
        ),
    )


def _tick(run: Run, command: Tick, now_ms: int) -> Events:
    if run.phase is not Phase.RUNNING:
        return ()
    limit_ms = run.plan.cohort.idle_limit * 1000
    found = []
    for exchange in run.open_exchanges():
        for site in exchange.awaited:
            silent_ms = now_ms - _last_sign_ms(exchange, site, command)
            if silent_ms >= limit_ms:
                found.append(SiteIdle(exchange=exchange.number, site=site, silent_s=silent_ms / 1000))
    return tuple(found)


def next_wakeup_ms(run: Run, command: Tick) -> int | None:
    """When the next `Tick` can change something, milliseconds since 1970; None for never."""
    rules = run.plan.cohort
    if run.phase is Phase.SUBMITTED:
        return run.clock_ms + round(rules.approvals * 1000)
    if run.phase is not Phase.RUNNING:
        return None
    times = []
    for exchange in run.open_exchanges():
        times.append(deadline_ms(exchange, rules))
        if rules.grace is not None and exchange.enough_ms is not None and exchange.needed:
            times.append(exchange.enough_ms + round(rules.grace * 1000))
        for site in exchange.awaited:
            times.append(_last_sign_ms(exchange, site, command) + round(rules.idle_limit * 1000))
    return min(times, default=None)


def _last_sign_ms(exchange: Exchange, site: str, command: Tick) -> int:
    return max(exchange.clock_ms, command.progress_ms.get((exchange.number, site), 0))


def _settle(run: Run, now_ms: int) -> Events:
    """Events that follow of themselves: a run that can start, exchanges that can close."""
    if run.phase is Phase.SUBMITTED:
        return _settle_start(run, now_ms)
    if run.phase is not Phase.RUNNING:
        return ()
    found: list[Event] = []
    for exchange in run.open_exchanges():
        cause = outcome(exchange, run.plan.cohort, now_ms)
        if isinstance(cause, Shortfall):
            return (*found, RunFailed(error=QuorumError.code, reason=cause.reason))
        if cause is not None:
            found.append(
                ExchangeClosed.model_validate(
                    {
                        "exchange": exchange.number,
                        "cause": cause,
                        "answered": exchange.answered,
                        "failed": exchange.failed,
                        "missing": exchange.unanswered,
                    }
                )
            )
    return tuple(found)


def _settle_start(run: Run, now_ms: int) -> Events:
    waiting, accepted, minimum = run.unanswered, run.population, run.plan.cohort.minimum
    overdue = now_ms >= run.clock_ms + run.plan.cohort.approvals * 1000
    if waiting and not overdue:
        return ()
    if len(accepted) >= minimum and accepted:
        return (RunStarted(population=accepted),)
    refused = "".join(f"; {site} refused: {why}" for site, why in sorted(run.refusals.items()))
    if not overdue and not refused:
        return ()  # too few sites are enrolled yet
    silent = f"; no answer from {', '.join(waiting)}" if waiting else ""
    why = f"{len(accepted)} sites accepted the plan, {max(minimum, 1)} are needed{refused}{silent}"
    return (RunFailed(error=QuorumError.code, reason=why),)
