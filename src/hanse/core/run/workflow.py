"""Decisions about a workflow's requests: rounds, exchanges, streams and commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.core.plan.cohort import needed, select
from hanse.core.plan.goals import improves
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.events import Events
from hanse.core.run.evolve import evolve
from hanse.core.run.exchange import Exchange
from hanse.core.run.round_events import ExchangeOpened, RoundCommitted, RoundOpened, UpdatesAggregated
from hanse.core.run.run import Run, must_run
from hanse.core.run.run_events import RunFailed
from hanse.core.run.suspension import active_sites, reinstatements, suspend_failing
from hanse.core.values.model_ref import ModelRef
from hanse.errors import QuorumError, RunError, WorkflowError


@dataclass(frozen=True, slots=True)
class OpenRound:
    """The workflow begins a round; opening the open round again changes nothing."""

    round_number: int


@dataclass(frozen=True, slots=True)
class OpenExchange:
    """The workflow asks a task of the round's cohort.

    Attributes:
        index: Place among the exchanges of the round, from 0. A restarted workflow that
            asks the same at the same place finds the exchange as it is.
        sites: Ask only these of the population; None for the round's cohort.
    """

    round_number: int
    index: int
    task: str
    model: ModelRef | None
    sites: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class OpenStream:
    """The workflow wants another update of a stream: every free site is asked.

    Attributes:
        taken: Exchanges whose updates the workflow has already been given since the last commit.
    """

    task: str
    model: ModelRef
    taken: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class RecordAggregate:
    """The sum of an exchange's updates was given to the workflow."""

    exchange: int
    sites: tuple[str, ...]
    num_examples: int
    aggregate: str | None


@dataclass(frozen=True, slots=True)
class Commit:
    """The workflow ends a round with its model; committing the same again changes nothing."""

    round_number: int
    model: ModelRef
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: str | None = None
    consumed: tuple[int, ...] = ()


def open_round(run: Run, command: OpenRound, now_ms: int) -> Events:
    """Begin a round with a cohort; opening the open one again changes nothing."""
    must_run(run)
    round_number = command.round_number
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
    back = reinstatements(run, round_number, now_ms)
    for event in back:
        run = evolve(run, event, now_ms)
    cohort, without = select(plan.cohort, plan.seed, round_number, population, run.failure_record.suspensions)
    opened = RoundOpened(round_number=round_number, cohort=cohort, population=population, suspended=without)
    return (*back, opened)


def open_exchange(run: Run, command: OpenExchange) -> Events:
    """Ask a task; asking the same again at the same place changes nothing."""
    must_run(run)
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
    here = tuple(site for site in run.cohort if site not in run.excused)
    cohort = here if command.sites is None else tuple(sorted(set(command.sites)))
    # Who left since the round began may be named: a workflow cannot know, and gets no answer of it.
    absent = [site for site in cohort if site not in run.taking_part]
    strangers = sorted({*absent} - {*run.cohort}) if absent else []
    if strangers or not cohort:
        raise WorkflowError(
            f"the workflow asked {', '.join(strangers) or 'no site'}; not in the run's population"
        )
    return (
        ExchangeOpened(
            exchange=run.last_exchange + 1,
            round_number=command.round_number,
            index=command.index,
            task=command.task,
            model=command.model,
            cohort=cohort,
            # Whom the round goes without counts too: the plan's quorum is of those it wants asked.
            needed=needed(run.plan.cohort, len(cohort) + len(run.without)) if command.sites is None else 0,
            roster=run.stated_roster,
        ),
    )


def _must_match(found: Exchange, command: OpenExchange) -> None:
    same = found.task == command.task and found.model == command.model
    if command.sites is not None:
        same = same and sorted(set(command.sites)) == sorted(found.members)
    if not same:
        raise WorkflowError(
            f"after a restart the workflow asked something else in round {command.round_number}: "
            f"task {command.task} on {_named(command.model)}, before it was {found.task} on "
            f"{_named(found.model)}",
            mend="A workflow must do the same again from the last commit: take randomness from "
            "`round.random` only, and no time or outside state.",
        )


def _named(model: ModelRef | None) -> str:
    return "no model" if model is None else f"model {model.short}"


def open_stream(run: Run, command: OpenStream, now_ms: int) -> Events:
    """Ask every free site of a stream, with the last committed model."""
    must_run(run)
    if command.task not in run.plan.tasks:
        known = ", ".join(run.plan.tasks)
        raise WorkflowError(f"the workflow streams a task {command.task!r}; the plan's tasks are: {known}")
    back = reinstatements(run, run.committed + 1, now_ms, stream=True)
    for event in back:
        run = evolve(run, event, now_ms)
    pending = [e for e in run.stream() if e.number not in command.taken]
    # A site is busy while it works, and until the workflow has been given what it sent.
    # One that failed rests until the next commit, so that it cannot fail in a tight circle.
    busy = {site for e in pending for site in e.members}
    busy |= {site for e in run.stream() for site in e.failed}
    free = [site for site in active_sites(run) if site not in busy]
    if not free and all(e.closed is not None and not e.num_answered for e in pending):
        why = "; ".join(f"{s}: {e.members[s].reason}" for e in pending for s in e.members)
        return (RunFailed(error=QuorumError.code, reason=f"no site of the stream answers any more: {why}"),)
    opened = tuple(
        ExchangeOpened(
            exchange=run.last_exchange + 1 + place,
            round_number=run.committed + 1,
            index=-1,
            task=command.task,
            model=command.model,
            cohort=(site,),
            needed=0,
            roster=run.stated_roster,
        )
        for place, site in enumerate(free)
    )
    return (*back, *opened)


def record_aggregate(run: Run, command: RecordAggregate) -> Events:
    """Note that the sum of a closed exchange was given out."""
    must_run(run)
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


def commit(run: Run, command: Commit, now_ms: int) -> Events:
    """Make a round's model the run's; committing it again changes nothing."""
    must_run(run)
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
    committed = RoundCommitted(
        round_number=command.round_number,
        model=command.model,
        metrics=dict(command.metrics),
        state=command.state,
        best=best,
        consumed=command.consumed,
    )
    return (committed, *suspend_failing(run, committed, now_ms))
