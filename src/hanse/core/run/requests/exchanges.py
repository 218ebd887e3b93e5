"""Decisions about a task that a workflow asks of a cohort, of sites or of cells."""

from __future__ import annotations

from hanse.core.plan.asked_inputs import problem_of_ask, within_cells
from hanse.core.plan.cohort import needed
from hanse.core.plan.privacy.cells import masks, members_of
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.events import Events
from hanse.core.run.exchange import Exchange
from hanse.core.run.hosting import check_sum
from hanse.core.run.requests.commands import OpenExchange, RecordAggregate
from hanse.core.run.requests.limits import check_not_too_often, check_request
from hanse.core.run.round_events import ExchangeOpened, UpdatesAggregated
from hanse.core.run.run import Run, must_run
from hanse.core.values.ask_inputs import AskInputs, stated
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.wording import and_more, named
from hanse.errors import QuorumError, RunError, WorkflowError


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
    check_request(run, command.task, command.round_number, individually=command.sites is not None)
    _check_inputs(run, command)
    if (earlier := _asked_before(run, command)) is not None:
        return (_asked_again(run, earlier, command),)
    cells = command.inputs.cells
    cohort = _here(run, cells) if command.sites is None else tuple(sorted(set(command.sites)))
    if cells is not None and not cohort:
        raise QuorumError(
            f"round {command.round_number}, {command.task}: no site of the cells {named(list(cells))} is in "
            "the cohort"
        )
    # Who left since the round began may be named: a workflow cannot know, and gets no answer of it.
    absent = [site for site in cohort if site not in run.taking_part]
    strangers = sorted({*absent} - {*run.cohort}) if absent else []
    if strangers or not cohort:
        raise WorkflowError(
            f"the workflow asked {', '.join(strangers) or 'no site'}; not in the run's population"
        )
    members = _whole_cells(run, command, cohort)
    if members:
        cohort = tuple(sorted(site for sites in members.values() for site in sites))
    check_not_too_often(run, command.task, cohort)
    return (
        ExchangeOpened(
            exchange=run.last_exchange + 1,
            round_number=command.round_number,
            index=command.index,
            task=command.task,
            model=command.model,
            cohort=cohort,
            # Whom the round goes without counts too: the plan's quorum is of those it wants asked.
            needed=_needed(run, command, len(cohort) + len(run.without)),
            roster=run.stated_roster,
            members=members,
            **stated(command.inputs),
        ),
    )


def _whole_cells(run: Run, command: OpenExchange, cohort: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The cells of a masked sum, by name: those of which every member is asked; none of another task.

    Raises:
        WorkflowError: The workflow chose sites.
        QuorumError: No cell is whole.
    """
    if not masks(run.plan, command.task):
        return {}
    place = f"round {command.round_number}, {command.task}"
    if command.sites is not None:
        raise WorkflowError(
            f"{place}: the workflow chose sites, and what the task discloses is summed over whole cells",
            mend="Ask the cohort, or cells: `round.sum`.",
        )
    here, cells = {*cohort}, command.inputs.cells or tuple(run.plan.cells)
    found = {cell: members_of(run.plan, cell) for cell in sorted(cells)}
    whole = {cell: sites for cell, sites in found.items() if here.issuperset(sites)}
    if not whole:
        lacking = [f"{cell} lacks {named(sorted({*sites} - here))}" for cell, sites in found.items()]
        raise QuorumError(
            f"{place}: a masked sum is over whole cells, and none is; " + "; ".join(and_more(lacking, 5)),
            mend="Get the sites that are missing to take part, and resume the run.",
        )
    return whole


def _needed(run: Run, command: OpenExchange, size: int) -> int:
    """Answers without which the round fails; none where sites or cells were chosen, and may be short."""
    chosen = command.sites is not None or command.inputs.cells is not None
    return 0 if chosen else needed(run.plan.cohort, size)


def _check_inputs(run: Run, command: OpenExchange) -> None:
    """Refuse another model, other groups, settings and cells than the plan says."""
    has_model = command.model is not None
    if problem := problem_of_ask(run.plan, command.task, command.inputs, has_model=has_model):
        raise WorkflowError(f"the workflow asked for what the plan does not permit: {problem}")
    if command.inputs.cells is not None and command.sites is not None:
        raise WorkflowError("the workflow asked cells and sites at once; it is one of them")


def _here(run: Run, cells: tuple[str, ...] | None) -> tuple[str, ...]:
    """Those of the cohort that may be asked; in a plan with cells, of the cells that are asked."""
    return within_cells(run.plan, (site for site in run.cohort if site not in run.excused), cells)


def _asked_before(run: Run, command: OpenExchange) -> Exchange | None:
    """The exchange in which a round that begins again was asked the same, under whose number it is asked."""
    sites = None if command.sites is None else sorted(set(command.sites))
    for exchange in run.earlier:
        about = (exchange.round_number, exchange.task, exchange.model, exchange.inputs)
        in_all = exchange.needed or exchange.inputs.cells is not None
        chosen = None if in_all else list(exchange.members)
        if exchange.index >= 0 and (*about, chosen) == (
            *(command.round_number, command.task, command.model, command.inputs),
            sites,
        ):
            return exchange
    return None


def _asked_again(run: Run, before: Exchange, command: OpenExchange) -> ExchangeOpened:
    chosen = command.sites is not None
    cohort = (
        tuple(s for s in before.members if s in run.taking_part)
        if chosen
        else _here(run, command.inputs.cells)
    )
    members = _whole_cells(run, command, cohort)
    if members:
        cohort = tuple(sorted(site for sites in members.values() for site in sites))
    answered = {
        site
        for site, member in before.members.items()
        if member.answer is not None and (not before.sums or before.standing_of(site).complete)
    }
    size = len({*cohort, *answered}) + len(run.without)
    return ExchangeOpened(
        exchange=before.number,
        round_number=command.round_number,
        index=command.index,
        task=command.task,
        model=command.model,
        cohort=cohort,
        needed=_needed(run, command, size),
        roster=run.stated_roster,
        members=members,
        **stated(command.inputs),
    )


def _must_match(found: Exchange, command: OpenExchange) -> None:
    same = found.task == command.task and found.model == command.model and found.inputs == command.inputs
    if command.sites is not None:
        same = same and sorted(set(command.sites)) == sorted(found.members)
    if not same:
        raise WorkflowError(
            f"after a restart the workflow asked something else in round {command.round_number}: "
            f"task {command.task} on {_named(command.model, command.inputs)}, before it was {found.task} on "
            f"{_named(found.model, found.inputs)}",
            mend="A workflow must do the same again from the last commit: take randomness from "
            "`round.random` only, and no time or outside state.",
        )


def _named(model: ModelRef | None, inputs: AskInputs) -> str:
    beside = f" and {inputs}" if str(inputs) else ""
    return ("no model" if model is None else f"model {model.short}") + beside


def record_aggregate(run: Run, command: RecordAggregate) -> Events:
    """Note that the sum of a closed exchange was given out."""
    must_run(run)
    exchange = run.exchanges.get(command.exchange)
    if exchange is None or exchange.closed is None:
        raise RunError(f"exchange {command.exchange} of run {run.run_id} has no sum: it is not closed")
    if exchange.aggregated:
        return ()
    check_sum(run.plan, exchange)
    unopened = [cell for cell, standing in exchange.sums.items() if standing.complete and not standing.opened]
    if unopened and exchange.roster is not None:  # a simulation has no masked vectors to add up
        raise RunError(f"exchange {command.exchange} lacks the sums of the cells {named(unopened)}")
    return (
        UpdatesAggregated(
            exchange=command.exchange,
            sites=command.sites,
            num_examples=command.num_examples,
            aggregate=command.aggregate,
        ),
    )
