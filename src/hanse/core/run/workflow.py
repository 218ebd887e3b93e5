"""Decisions about a workflow's requests: rounds, exchanges, streams and commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.core.plan.cohort import needed, select
from hanse.core.plan.disclosure import check_asked
from hanse.core.plan.exchange_limits import limit_line, most_in_round
from hanse.core.plan.goals import improves
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.events import Events
from hanse.core.run.evolve import evolve
from hanse.core.run.exchange import Exchange
from hanse.core.run.hosting import check_sum
from hanse.core.run.round_events import ExchangeOpened, RoundCommitted, RoundOpened, UpdatesAggregated
from hanse.core.run.run import Run, must_run
from hanse.core.run.run_events import RunFailed
from hanse.core.run.suspension import active_sites, reinstatements, suspend_failing
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.wording import counted, named
from hanse.errors import DisclosureError, QuorumError, RunError, WorkflowError


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
    _check_asked(run, command.task, command.round_number, individually=command.sites is not None)
    if (earlier := _asked_before(run, command)) is not None:
        return (_asked_again(run, earlier, command),)
    cohort = _here(run) if command.sites is None else tuple(sorted(set(command.sites)))
    # Who left since the round began may be named: a workflow cannot know, and gets no answer of it.
    absent = [site for site in cohort if site not in run.taking_part]
    strangers = sorted({*absent} - {*run.cohort}) if absent else []
    if strangers or not cohort:
        raise WorkflowError(
            f"the workflow asked {', '.join(strangers) or 'no site'}; not in the run's population"
        )
    _check_not_too_often(run, command.task, cohort)
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


def _check_asked(run: Run, task: str, round_number: int, *, individually: bool) -> None:
    """As `check_asked`, where no host has looked before."""
    try:
        check_asked(run.plan, task, round_number, individually=individually)
    except DisclosureError as error:
        raise WorkflowError(error.message, mend=error.mend) from error


def _here(run: Run) -> tuple[str, ...]:
    return tuple(site for site in run.cohort if site not in run.excused)


def _asked_before(run: Run, command: OpenExchange) -> Exchange | None:
    """The exchange in which a round that begins again was asked the same, under whose number it is asked."""
    sites = None if command.sites is None else sorted(set(command.sites))
    for exchange in run.earlier:
        about = (exchange.round_number, exchange.task, exchange.model)
        chosen = None if exchange.needed else list(exchange.members)
        if exchange.index >= 0 and (*about, chosen) == (
            *(command.round_number, command.task, command.model),
            sites,
        ):
            return exchange
    return None


def _asked_again(run: Run, before: Exchange, command: OpenExchange) -> ExchangeOpened:
    cohort = _here(run) if before.needed else tuple(s for s in before.members if s in run.taking_part)
    answered = {site for site, member in before.members.items() if member.answer is not None}
    size = len({*cohort, *answered}) + len(run.without)
    return ExchangeOpened(
        exchange=before.number,
        round_number=command.round_number,
        index=command.index,
        task=command.task,
        model=command.model,
        cohort=cohort,
        needed=needed(run.plan.cohort, size) if before.needed else 0,
        roster=run.stated_roster,
    )


def _check_not_too_often(run: Run, task: str, cohort: tuple[str, ...]) -> None:
    """Refuse to ask a site for a task more often than the plan says.

    Raises:
        WorkflowError: It was asked as often before, in this round or, with streams, in the run.
    """
    most = most_in_round(run.plan, task)
    asked = [e for e in (*run.in_round(), *run.earlier) if e.index >= 0 and e.task == task]
    if len(asked) < most and not run.streamed:
        return
    for site in cohort:
        in_round = sum(site in exchange.members for exchange in asked)
        if in_round >= most:
            raise _too_often(
                run, task, f"{site} for {task!r} in {most + 1} exchanges of round {run.round_open}"
            )
        if _used_up(run, task, site, in_round):
            raise _too_often(run, task, f"{site} once more for {task!r}, beside what it streamed")


def _used_up(run: Run, task: str, site: str, in_round: int = 0) -> bool:
    """Check if a site was asked for a task in as many exchanges as rounds times the plan's limit.

    Each round that was opened as such counts as if the site had been asked in it as often as may be.
    """
    left = most_in_round(run.plan, task) * (run.plan.rounds - run.rounds_asked)
    return run.streamed.get((task, site), 0) + in_round >= left


def _too_often(run: Run, task: str, asked: str) -> WorkflowError:
    if task == INITIALISE:
        return WorkflowError(f"the workflow asked {asked}; a site is asked for a first model once")
    most, rounds = most_in_round(run.plan, task), run.plan.rounds
    return WorkflowError(
        f"the workflow asked {asked}; the plan permits {most} a round, and {most * rounds} in all of its "
        f"{counted(rounds, 'round')}",
        mend=f"Ask for the task less often, or add to the plan: {limit_line(task, most + 1)}",
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
    _check_asked(run, command.task, run.committed + 1, individually=True)
    back = reinstatements(run, run.committed + 1, now_ms, stream=True)
    for event in back:
        run = evolve(run, event, now_ms)
    pending = [e for e in run.stream() if e.number not in command.taken]
    # A site is busy while it works, and until the workflow has been given what it sent.
    # One that failed rests until the next commit, so that it cannot fail in a tight circle.
    busy = {site for e in pending for site in e.members}
    busy |= {site for e in run.stream() for site in e.failed}
    free = [site for site in active_sites(run) if site not in busy]
    earlier = {s: e for e in run.earlier if e.index < 0 and e.task == command.task for s in e.members}
    may = [site for site in free if site in earlier or not _used_up(run, command.task, site)]
    if not may and all(e.closed is not None and not e.num_answered for e in pending):
        if free:
            raise _too_often(run, command.task, f"{named(free)} once more for {command.task!r} of its stream")
        why = "; ".join(f"{s}: {e.members[s].reason}" for e in pending for s in e.members)
        return (RunFailed(error=QuorumError.code, reason=f"no site of the stream answers any more: {why}"),)
    # What a site was asked before the run was resumed, and no answer came, it is asked under its number.
    again = (
        _streamed(run, site, before.number, before.round_number, before.task, before.model)
        for site, before in ((site, earlier[site]) for site in may if site in earlier)
    )
    opened = (
        _streamed(run, site, run.last_exchange + 1 + place, run.committed + 1, command.task, command.model)
        for place, site in enumerate(site for site in may if site not in earlier)
    )
    return (*back, *again, *opened)


def _streamed(
    run: Run, site: str, exchange: int, round_number: int, task: str, model: ModelRef | None
) -> ExchangeOpened:
    return ExchangeOpened(
        exchange=exchange,
        round_number=round_number,
        index=-1,
        task=task,
        model=model,
        cohort=(site,),
        needed=0,
        roster=run.stated_roster,
    )


def record_aggregate(run: Run, command: RecordAggregate) -> Events:
    """Note that the sum of a closed exchange was given out."""
    must_run(run)
    exchange = run.exchanges.get(command.exchange)
    if exchange is None or exchange.closed is None:
        raise RunError(f"exchange {command.exchange} of run {run.run_id} has no sum: it is not closed")
    if exchange.aggregated:
        return ()
    check_sum(run.plan, exchange)
    return (
        UpdatesAggregated(
            exchange=command.exchange,
            sites=command.sites,
            num_examples=command.num_examples,
            aggregate=command.aggregate,
        ),
    )


def _undefined(run: Run, metric: str) -> bool:
    """Say whether sites of the open round reported a metric as not defined, and none gave it."""
    answers = [member.answer for exchange in run.in_round() for member in exchange.members.values()]
    values = [answer.metrics[metric] for answer in answers if answer and metric in answer.metrics]
    return bool(values) and all(value is None for value in values)


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
        if wanted is None or command.round_number < 1 or wanted.metric in command.metrics:
            continue
        # Where no site of the round could say, the round is not compared, and the run continues.
        if not _undefined(run, wanted.metric):
            known = ", ".join(sorted(command.metrics)) or "none"
            raise WorkflowError(
                f"round {command.round_number} was committed without the metric {wanted.metric!r} that the "
                f"plan's keep_best or early_stop needs; committed: {known}"
            )
    if goal is not None and command.round_number > 0 and goal.metric in command.metrics:
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
