"""Events of a journal held against the events before them: what no aggregator of ours would have written.

A replay applies events, and so finds those that have no place. Here is counted again what an event
says, from the accepted results alone, so that an aggregator cannot write it as it likes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from hanse.aggregation.fold import weighted_metrics
from hanse.core.plan.asked_inputs import problem_of_ask, within_cells
from hanse.core.plan.built_in import BUILT_IN
from hanse.core.plan.disclosure import disclosure_of
from hanse.core.plan.exchange_limits import limit_line, most_in_round, most_in_run
from hanse.core.plan.goals import improves
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.plan.privacy.cohort import select_cohort
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.events import Event
from hanse.core.run.exchange import MEMBER_TABLE, AcceptedResult, Exchange
from hanse.core.run.exchange_protocol import sites_in_sum
from hanse.core.run.hosting import short_cell
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    RoundCommitted,
    RoundOpened,
    SiteIdle,
    TaskFailed,
    TaskStarted,
    UpdateAccepted,
    UpdatesAggregated,
)
from hanse.core.run.run import Run
from hanse.core.run.run_events import RunFinished
from hanse.core.run.site_events import SiteReinstated, SiteSuspended, SuspensionWaived
from hanse.core.run.sum_rules.starts import counted_at
from hanse.core.run.suspension import reinstatement_round
from hanse.core.values.statements import SignedStatement
from hanse.core.values.update import given
from hanse.core.values.wording import counted, named
from hanse.wire.messages.sites import TASK_RESULT_1, purpose_of_outcome

_CLOSE = 1e-9
"""Part of a metric's largest figure by which its means may differ: versions round them at other places."""

_RECOUNTED = ("fedavg", "evaluate")
"""Built-in workflows whose commits are compared with the accepted results."""

MetricsOf = Callable[[int], Mapping[str, float] | None]
"""See `Recount`."""

Problems = Iterator[tuple[str, str]]
"""Names of checks, see `hanse.control.report.CLAIMS`, with what speaks against them."""


class Recount:
    """Counts again what the events of a journal say.

    Agents and aggregators of 0.1 knew no limit on exchanges, and took answers without examples for parts of
    a sum. What a site signed with 0.1 is not held against the journal, but noted.

    Args:
        metrics_of: Gives the metrics of a masked exchange by its number; None where its vectors are not at
            hand.
    """

    def __init__(self, metrics_of: MetricsOf = lambda _: None) -> None:
        self._metrics_of = metrics_of
        self._answered: defaultdict[tuple[str, str, int | None], set[int]] = defaultdict(set)
        self._earlier: defaultdict[int, set[str]] = defaultdict(set)
        """Sites that signed their answer with 0.1, by exchange."""
        self._answers = 0
        self._sums = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, in sentences."""
        found = (
            (self._answers, "answer", "beyond the exchanges of the plan"),
            (self._sums, "sum", "of fewer sites with examples than the minimum of the plan"),
        )
        return tuple(
            f"{counted(count, noun)} {what}, signed by sites with Hanse 0.1, which had no such limit"
            for count, noun, what in found
            if count
        )

    def of_outcome(self, run: Run, event: UpdateAccepted | TaskFailed, opened: ExchangeOpened) -> Problems:
        """Hold how often a site has answered a task against the plan, by what the site has signed."""
        statement, site = event.statement, event.site
        if statement is None:
            return  # another check says so
        if isinstance(statement, SignedStatement) and statement.body.get("journal") is None:
            yield "statements", f"{site} signed an outcome that says nothing of a record in its own journal"
        if opened.task not in (INITIALISE, *run.plan.tasks):
            return
        exchange = run.exchanges.get(event.exchange)
        counted_last = statement.body.get("counted", 0)
        now = run.accepted.get(site, 0) if exchange is None else counted_at(run, exchange, site)
        if isinstance(event, UpdateAccepted) and opened.index >= 0 and counted_last not in (0, now):
            yield (
                "results",
                f"{site} answered exchange {opened.exchange} from the state of exchange {counted_last}, and "
                f"exchange {now} counted last",
            )
        problem = self._too_often(run.plan, site, opened)
        if purpose_of_outcome(statement) == TASK_RESULT_1:
            self._earlier[opened.exchange].add(site)
            self._answers += bool(problem)
        elif problem:
            yield "limits", problem

    def of_event(self, run: Run, event: Event) -> Problems:
        """Hold an event against the run as it stood before."""
        match event:
            case TaskStarted() | SiteIdle() | UpdateAccepted() | TaskFailed():
                yield from _of_member(run, event)
            case ExchangeOpened():
                yield from _opened(run, event)
            case ExchangeClosed() | UpdatesAggregated():
                yield from self._ended(run, event)
            case RoundOpened():
                if event.round_number != run.committed + 1:
                    yield "history", f"round {event.round_number} begins after round {run.committed}"
                yield from _drawn(run, event)
                yield from _spared(run, event)
            case SiteSuspended() | SuspensionWaived() | SiteReinstated():
                yield from _spared(run, event)
            case RoundCommitted():
                yield from _committed(run, event)
                yield from self._by_built_in(run, event)
            case RunFinished():
                yield from _finished(run, event)
            case _:
                pass

    def _too_often(self, plan: Plan, site: str, opened: ExchangeOpened) -> str:
        task = opened.task
        in_run = self._answered[site, task, None]
        in_run.add(opened.exchange)
        if len(in_run) > (most := most_in_run(plan, task)):
            exchanges = f"{counted(len(in_run), 'exchange')} of the run"
            return f"{site} was asked for {task!r} in {exchanges}; the plan permits {most}"
        if opened.index < 0:
            return ""
        in_round = self._answered[site, task, opened.round_number]
        in_round.add(opened.exchange)
        if len(in_round) <= (most := most_in_round(plan, task)):
            return ""
        exchanges = f"{counted(len(in_round), 'exchange')} of round {opened.round_number}"
        return f"{site} was asked for {task!r} in {exchanges}; the plan says {limit_line(task, most)}"

    def _ended(self, run: Run, event: ExchangeClosed | UpdatesAggregated) -> Problems:
        exchange = run.exchanges.get(event.exchange)
        if exchange is None:
            return  # the replay says so
        number, minimum = exchange.num_answered, run.plan.cohort.minimum
        if isinstance(event, ExchangeClosed):
            repeated = exchange.closed is not None
            if number < exchange.needed:
                yield (
                    "history",
                    f"exchange {event.exchange} closes with {number} of {exchange.needed} answers",
                )
        else:
            repeated = exchange.aggregated
            if exchange.closed is None:
                yield "history", f"exchange {event.exchange} is summed before it is closed"
        if repeated:
            yield "history", f"{event.kind} of exchange {event.exchange} for the second time"
        if not _is_summed(run.plan, exchange.task) or masks(run.plan, exchange.task):
            return  # a masked sum is over whole cells; `hanse.control.sums` holds it against them
        disclosure = disclosure_of(run.plan, exchange.task)
        if isinstance(event, UpdatesAggregated) and (problem := short_cell(run.plan, exchange)):
            yield "limits", f"{event.kind} of {exchange.task!r}: {problem}"
        if exchange.inputs.cells is not None:
            return
        with_examples = sites_in_sum(exchange, weighs=disclosure.weighs)
        earlier = self._earlier[event.exchange]
        empty = {site for site in earlier if _is_empty(exchange, site)}  # to 0.1 they counted too
        if with_examples < minimum <= with_examples + len(empty):
            self._sums += isinstance(event, UpdatesAggregated)
        elif with_examples < minimum:
            sites = counted(with_examples, "site")
            yield "limits", f"{event.kind} of {exchange.task!r} over {sites}; {_line(minimum)}"

    def _by_built_in(self, run: Run, event: RoundCommitted) -> Problems:
        """Hold the commit of a built-in workflow against the answers that the workflow had."""
        plan, asked, place = run.plan, run.in_round(), f"round {event.round_number}"
        if plan.workflow not in _RECOUNTED or event.round_number == 0:
            return
        tasks = [task for task in ("train", "evaluate") if task in plan.tasks]
        if plan.workflow == "evaluate":
            tasks = ["evaluate"]
        if [exchange.task for exchange in asked] != tasks or any(e.closed is None for e in asked):
            yield (
                "results",
                f"{place} of {plan.workflow} is committed without {', '.join(tasks)}, in this order",
            )
            return
        models = [run.model, event.model] if plan.workflow == "fedavg" else [run.model]
        for exchange, model in zip(asked, models, strict=False):
            if exchange.model != model and not self._earlier[exchange.number]:
                yield "results", f"{place}: {exchange.task!r} was asked with another model than is committed"
        if plan.workflow == "evaluate" and event.model != run.model:
            yield "results", f"{place}: another model is committed, and evaluation changes none"
        metrics, summed = self._metrics(plan, asked)
        pooled = tuple(f"{name}." for name, spec in plan.group_specs.items() if spec.pooled)
        # Those of binned scores follow from sums, which are not signed results.
        known = {name: value for name, value in event.metrics.items() if name not in summed}
        stated = {name: value for name, value in known.items() if not name.startswith(pooled)}
        largest = _largest(asked)
        for name, value in metrics.items():
            largest.setdefault(name, abs(value))
        for text in _differences(stated, metrics, largest):
            yield "results", f"{place}: {text}"

    def _metrics(self, plan: Plan, asked: Iterable[Exchange]) -> tuple[dict[str, float], frozenset[str]]:
        """Metrics of a round by its answers, and names of those that are in sums that are not at hand."""
        metrics, unknown = dict[str, float](), frozenset[str]()
        for exchange in asked:
            masked = masks(plan, exchange.task)  # then in no signed result, but in the sum alone
            means = self._metrics_of(exchange.number) if masked else _means(exchange)
            if means is None:
                unknown |= {*disclosure_of(plan, exchange.task).metrics}
                metrics = {name: value for name, value in metrics.items() if name not in unknown}
            else:
                metrics |= means
                unknown -= means.keys()
        return metrics, unknown


def _line(minimum: int) -> str:
    return f"the plan says `cohort: {{minimum: {minimum}}}`"


def _of_member(run: Run, event: TaskStarted | SiteIdle | UpdateAccepted | TaskFailed) -> Problems:
    exchange = run.exchanges.get(event.exchange)
    member = None if exchange is None else exchange.members.get(event.site)
    if exchange is None or member is None:
        return  # the replay says so
    if exchange.closed is not None or member.state not in MEMBER_TABLE[type(event)]:
        stood = "closed" if exchange.closed is not None else f"{event.site} {member.state.value}"
        yield "history", f"{event.kind} of {event.site} where exchange {event.exchange} had {stood} before"


def _drawn(run: Run, event: RoundOpened) -> Problems:
    """Hold a cohort against the draw: it follows from the plan, and no party can choose whom a round asks."""
    number, population = event.round_number, run.population
    if event.population != population:
        yield "history", f"round {number} is said to draw from other sites than take part"
    if number == 0:
        drawn, without = population, population[:0]
    else:
        suspensions = run.failure_record.suspensions
        drawn, without = select_cohort(run.plan, number, population, suspensions)
    if (event.cohort, event.suspended) != (drawn, without):
        left, more = sorted({*drawn} - {*event.cohort}), sorted({*event.cohort} - {*drawn})
        told = [f"leaves out {named(left)}"] * bool(left) + [f"asks {named(more)}"] * bool(more)
        yield (
            "history",
            f"round {number} {' and '.join(told) or 'names other suspended sites'}: not what the plan's "
            "`cohort` and `seed` draw from the sites that take part",
        )
    for site in run.failure_record.suspensions:
        back = reinstatement_round(run, site) if site in run.taking_part else None
        if back is not None and back <= number:
            yield (
                "history",
                f"round {number} does not reinstate {site}, whose rest ended with round {back - 1}",
            )


def _spared(run: Run, event: RoundOpened | SiteSuspended | SuspensionWaived | SiteReinstated) -> Problems:
    """Hold what is said of sites that are suspended against what they did."""
    failure_record, limit = run.failure_record, run.plan.cohort.set_aside_after
    match event:
        case RoundOpened():
            if wrong := sorted({*event.cohort} & failure_record.suspensions.keys()):
                yield "history", f"the round asks {', '.join(wrong)}, suspended before"
            elif wrong := sorted({*event.suspended} - failure_record.suspensions.keys()):
                yield "history", f"the round goes without {', '.join(wrong)}, never suspended"
        case SiteSuspended() | SuspensionWaived():
            streaks = failure_record.streaks.get(event.site)
            if not limit or streaks is None or streaks.rounds < limit:
                yield "history", f"{event.site} had not failed in {limit} rounds in a row"
        case SiteReinstated():
            if event.site not in failure_record.suspensions:
                yield "history", f"{event.site} was not suspended"


def _opened(run: Run, event: ExchangeOpened) -> Problems:
    minimum, cells = run.plan.cohort.minimum, event.inputs.cells
    if problem := _of_inputs(run, event):
        yield "limits", problem
    if _is_summed(run.plan, event.task) and event.needed < minimum and cells is None:
        answers = counted(event.needed, "answer")
        yield "limits", f"{event.task!r} is asked for and needs {answers}; {_line(minimum)}"
    own = run.plan.workflow not in BUILT_IN or BUILT_IN[run.plan.workflow].chooses
    chosen = own and not _is_summed(run.plan, event.task)
    if chosen or event.index < 0 or event.task == INITIALISE or event.round_number != run.round_open:
        return
    asked = within_cells(run.plan, (site for site in run.cohort if site not in run.excused), cells)
    if event.cohort != asked:
        yield "history", f"{event.task!r} is not asked of the cohort of round {event.round_number}"


def _of_inputs(run: Run, event: ExchangeOpened) -> str:
    """Say what an ask sends that its task does not receive by the plan; empty for nothing."""
    if event.task not in (INITIALISE, *run.plan.tasks):
        return ""  # another check says so
    return problem_of_ask(run.plan, event.task, event.inputs, has_model=event.model is not None)


def _is_summed(plan: Plan, task: str) -> bool:
    return task in plan.tasks and disclosure_of(plan, task).in_sums


def _committed(run: Run, event: RoundCommitted) -> Problems:
    number, goal = event.round_number, run.plan.keep_best
    if number != run.committed + 1:
        yield "history", f"round {number} is committed after round {run.committed}"
    value = None if goal is None else event.metrics.get(goal.metric)
    best = goal is not None and number > 0 and value is not None and improves(goal, value, run.best)
    if event.best != best:
        yield "results", f"round {number} is {'not ' if best else ''}said to be the best so far"


def _answers(exchange: Exchange) -> list[AcceptedResult]:
    """The accepted results, in site order."""
    return [member.answer for member in exchange.members.values() if member.answer is not None]


def _is_empty(exchange: Exchange, site: str) -> bool:
    """Check if a site answered without examples."""
    answer = exchange.members[site].answer if site in exchange.members else None
    return answer is not None and not answer.num_examples


def _means(exchange: Exchange) -> dict[str, float]:
    answers = _answers(exchange)
    return weighted_metrics([given(a.metrics) for a in answers], [a.num_examples for a in answers])


def _largest(asked: Iterable[Exchange]) -> dict[str, float]:
    """Largest figure of each metric that sites gave."""
    found: dict[str, float] = {}
    for answer in (answer for exchange in asked for answer in _answers(exchange)):
        for name, value in given(answer.metrics).items():
            found[name] = max(abs(value), found.get(name, 0.0))
    return found


def _differences(
    stated: Mapping[str, float], found: Mapping[str, float], largest: Mapping[str, float]
) -> Iterator[str]:
    for name in sorted(stated.keys() | found.keys()):
        if name not in stated or name not in found:
            yield f"the metric {name!r} is {'not ' if name in found else ''}committed"
        elif not abs(stated[name] - found[name]) <= _CLOSE * largest.get(name, 0.0):
            yield f"{name} is {found[name]:g} by the accepted results, and {stated[name]:g} is committed"


def _finished(run: Run, event: RunFinished) -> Problems:
    best = None if run.best is None else run.best.round_number
    if (event.rounds, event.best_round) != (max(run.committed, 0), best):
        yield (
            "results",
            f"the run ends with {event.rounds} rounds, the best {event.best_round}; committed are "
            f"{max(run.committed, 0)}, the best {best}",
        )
    if event.results != run.results:
        yield "results", "the run ends with other results than were committed"
    if event.model != run.model:
        yield "results", "the run ends with another model than the last that was committed"
    built_in = BUILT_IN.get(run.plan.workflow)
    may_end = built_in is None or (built_in.ends_early and bool(run.results))
    if not may_end and not run.complete:
        yield "results", f"{run.plan.workflow} ends before the last round of the plan"
