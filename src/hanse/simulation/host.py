"""The simulator's host: answers a workflow by an engine's virtual sites, over the aggregator's own core."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType

from hanse.core.plan.disclosure import check_asked, disclosure_of
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.decide import Command
from hanse.core.run.events import Event
from hanse.core.run.exchange import Exchange
from hanse.core.run.hosting import (
    check_model,
    check_sum,
    dead_exchanges,
    staleness,
    standing_of,
    stream_model,
)
from hanse.core.run.lifecycle import AnswerPlan, Fail, Finish, Submit
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream, RecordAggregate
from hanse.core.run.run import Phase, Run
from hanse.core.run.run_events import RunFailed
from hanse.core.run.sum_rules.starts import counted_at
from hanse.core.run.tasks import AcceptResult, FailTask, StartTask
from hanse.core.values.ask_inputs import AskInputs
from hanse.core.values.groups import Groups, as_file, flattened, from_file, nested
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.core.values.safe_text import last_lines, one_line
from hanse.core.values.update import Aggregate, Update, given
from hanse.errors import HanseError, QuorumError, TaskError, UpdateError, rebuild
from hanse.learners.failures import MAX_LOG_TAIL, workflow_failure
from hanse.simulation.engines.base import Delivered, Engine, SiteAsk
from hanse.simulation.masked_sums import SimulatedSum, contexts_of, is_left_out
from hanse.simulation.received import check_untouched, headers_of, received_digests
from hanse.storage.base import Journal
from hanse.storage.journaled_run import JournaledRun
from hanse.updates.aggregate_file import aggregate_file, has_arrays, opened_aggregate
from hanse.updates.incoming import fold, opened_answer
from hanse.wire.tensors import copy_hashed
from hanse.workflow.base import CommitRequest, OpenedRound, Request, Standing
from hanse.workflow.federation import Federation

Listener = Callable[[Run, Event], None]
Committed = Callable[[Run, Callable[[ModelRef], Parameters]], None]
"""Called after each round that is committed, with the run and a way to its models' parameters."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A plan to simulate.

    Attributes:
        manifest: The plan, and its files.
        digest: The digest of `manifest`.
        sites: Names of the sites, which accept the plan.
        initial_model: The plan's first model, if it has one.
    """

    manifest: Manifest
    digest: str
    sites: tuple[str, ...]
    initial_model: Parameters | None = None


class SimulationHost:
    """Answers a workflow by an engine's sites; see `hanse.workflow.base.Host`.

    Drives the state machine that the aggregator drives, and aggregates as the
    aggregator does, so that a simulated run and a deployed one give the same
    model to the bit. Keeps models and states that the run refers to; an update
    is folded as it comes, or given to the workflow, and not kept.
    """

    def __init__(
        self,
        submission: Submission,
        engine: Engine,
        journal: Journal,
        *,
        started_ms: int,
        listener: Listener,
        committed: Committed | None = None,
    ) -> None:
        """Submit the plan to all sites, which accept it.

        Args:
            submission: What to run.
            engine: Performs the sites' tasks.
            journal: Where the run is kept.
            started_ms: When the simulation begins, milliseconds since 1970. From there time is
                logical: a deadline is about real machines.
            listener: Called with every event.
            committed: Called for every round that is committed.
        """
        run_id = f"{submission.manifest.plan.name}-simulated"
        self._engine = engine
        self._initial = submission.initial_model
        self._listener = listener
        self._committed = committed
        self._ticks = itertools.count(started_ms)
        self._journaled_run = JournaledRun(journal, run_id)
        self._kept: dict[str, Parameters] = {}
        """Models and states that the run refers to, by the digests of their files."""
        invited = tuple(sorted(submission.sites))
        self._execute(Submit(run_id, submission.manifest, submission.digest, "simulation", invited))
        for site in invited:
            self._execute(AnswerPlan(site, accepted=True, reasons=("simulated",)))

    def drive(self, workflow: Callable[[Federation], None]) -> Run:
        """Run a workflow to its end.

        Raises:
            HanseError: Why the run failed.
        """
        try:
            _call(workflow, Federation(self))
        except HanseError as error:
            if self.run.phase is Phase.RUNNING:
                self._record(Fail(error.code, one_line(str(error))))
            raise
        self._execute(Finish())
        return self.run

    @property
    def run(self) -> Run:
        """The run as it stands."""
        return self._journaled_run.run

    @property
    def plan(self) -> Plan:
        """The plan of the run."""
        return self.run.plan

    def tensors(self, model: ModelRef) -> Parameters:
        """The parameters of a model that was committed."""
        return self._kept[model.digest]

    def standing(self) -> Standing:
        """Where the run stands now."""
        now = standing_of(self.run)
        return Standing(
            committed=now.committed,
            model=None if now.model is None else self.tensors(now.model),
            state={} if now.state is None else from_file(self._kept[now.state]),
            complete=now.complete,
            population=now.population,
            results=self.results,
        )

    @property
    def results(self) -> Groups:
        """The results that the run has committed, by name."""
        return {name: nested(self._kept[digest])[name] for name, digest in self.run.results.items()}

    def initial_model(self) -> Parameters | None:
        """The plan's initial model."""
        return self._initial

    def open_round(self, round_number: int) -> OpenedRound:
        """Begin a round."""
        self._execute(OpenRound(round_number))
        return OpenedRound(self.run.cohort, self.run.round_population)

    def ask(self, request: Request) -> tuple[Update, ...]:
        """Have each site perform the task; the answers, in site order."""
        exchange = self._exchange(request, individually=True)
        return tuple(
            opened_answer(self.plan, request.task, self._owned(update)) for update in self._answers(exchange)
        )

    def sum(self, request: Request) -> Aggregate:
        """Have each site perform the task; the aggregate of the answers."""
        exchange = self._exchange(request, individually=request.sites is not None)
        aggregate = self._folded(exchange)
        digest = None
        if has_arrays(aggregate):
            tensors, digest = self._copied(aggregate_file(aggregate))
            grouped = bool(disclosure_of(self.plan, request.task).groups)
            aggregate = opened_aggregate(aggregate, tensors, grouped=grouped)
        self._execute(RecordAggregate(exchange.number, aggregate.sites, aggregate.num_examples, digest))
        return aggregate

    def _folded(self, exchange: Exchange) -> Aggregate:
        answers = self._answers(exchange)
        if exchange.sums:
            return self._over_cells(exchange, answers)
        try:
            aggregate = fold(self.plan, exchange.task, answers, streamed=True)
        except (QuorumError, UpdateError):
            if self.run.phase is Phase.RUNNING:
                _exhaust(answers)  # an aggregator sums when all have answered
                check_sum(self.plan, self.run.exchanges[exchange.number])
            raise
        check_sum(self.plan, self.run.exchanges[exchange.number])
        return aggregate

    def _over_cells(self, exchange: Exchange, answers: Iterator[Update]) -> Aggregate:
        """The aggregate over whole cells, whose sums are recorded."""
        masked = SimulatedSum(self.run, exchange, headers_of(self._kept, exchange))
        cells = masked.added(answers)
        closed = self.run.exchanges[exchange.number]
        check_sum(self.plan, closed)
        aggregate, recorded = masked.opened(cells, closed.sums.values())
        for command in recorded:
            self._execute(command)
        return aggregate

    def next_update(self, task: str, taken: frozenset[int]) -> tuple[int, Update]:
        """The next update of a stream; sites work in the order in which they were asked."""
        check_asked(self.plan, task, self.run.committed + 1, individually=True)
        model = stream_model(self.run)
        while True:
            self._execute(OpenStream(task, model, taken))
            waiting = next(e for e in self.run.stream() if e.closed is None)
            for update in self._answers(waiting):
                check_untouched(self._kept, waiting, self.plan.digests)
                stale = staleness(self.run, waiting)
                return waiting.number, replace(self._owned(update), staleness=stale)

    def commit(self, request: CommitRequest) -> Standing:
        """Make a round's outcome the run's."""
        if request.model is not None:
            check_model(self.plan, request.model, self.standing().model)
        state = self._keep(as_file(request.state)) if request.state else None
        model = None if request.model is None else ModelRef(self._keep(request.model))
        results = {name: self._keep(flattened({name: value})) for name, value in request.results.items()}
        consumed = (*request.consumed, *dead_exchanges(self.run))
        self._execute(Commit(request.round_number, model, dict(request.metrics), state, consumed, results))
        needed = _needed(self.run)
        self._kept = {digest: value for digest, value in self._kept.items() if digest in needed}
        if self._committed is not None and request.round_number:
            self._committed(self.run, self.tensors)
        return self.standing()

    def _execute(self, command: Command) -> None:
        """Tell the run something; raises why it failed, if it did."""
        for event in self._record(command):
            if isinstance(event, RunFailed):
                raise rebuild(event.error, event.reason)

    def _record(self, command: Command) -> tuple[Event, ...]:
        events = self._journaled_run.execute(command, next(self._ticks))
        for event in events:
            self._listener(self.run, event)
        return events

    def _exchange(self, request: Request, *, individually: bool) -> Exchange:
        """Ask a task, which no site has begun yet."""
        check_asked(self.plan, request.task, request.round_number, individually=individually)
        model = None if request.model is None else ModelRef(self._keep(request.model))
        self._execute(OpenRound(request.round_number))
        groups = {name: self._keep(flattened({name: value})) for name, value in request.groups.items()}
        inputs = AskInputs(groups, request.settings, request.cells)
        self._execute(
            OpenExchange(request.round_number, request.index, request.task, model, request.sites, inputs)
        )
        return self.run.in_round()[request.index]

    def _answers(self, exchange: Exchange) -> Iterator[Update]:
        """Have the sites of an exchange perform its task; each answer when it has been taken.

        The arrays of an answer hold until the next.
        """
        sites = exchange.unanswered
        inputs = {digest: self._kept[digest] for digest in received_digests(exchange)}
        answers = self._engine.perform(self._asks(exchange, sites), inputs)
        for site in sites:
            # In no variable of this function: the arrays would outlast their use.
            yield from self._taken(exchange, site, next(answers))
        check_untouched(self._kept, exchange, self.plan.digests)

    def _asks(self, exchange: Exchange, sites: tuple[str, ...]) -> Iterator[SiteAsk]:
        contexts = contexts_of(self.run, exchange, self._kept)
        for site in sites:
            if not is_left_out(self.run, exchange, site):
                self._execute(StartTask(exchange.number, site))
            accepted = counted_at(self.run, exchange, site)
            yield SiteAsk(
                *(site, exchange.number, exchange.round_number, exchange.task, exchange.model, accepted),
                inputs=exchange.inputs,
                context=contexts.get(exchange.cell_by_site.get(site, ""), ""),
            )

    def _taken(self, exchange: Exchange, site: str, answer: Delivered | HanseError) -> Iterator[Update]:
        """Tell the run of an answer; gives it where it counts."""
        if is_left_out(self.run, exchange, site):
            return
        if isinstance(answer, HanseError):
            tail = last_lines(answer.log_tail, MAX_LOG_TAIL) if isinstance(answer, TaskError) else ""
            self._execute(FailTask(exchange.number, site, one_line(str(answer)), tail))
            return
        self._execute(AcceptResult(exchange.number, site, answer.num_examples, answer.metrics, answer.digest))
        yield Update(site, answer.num_examples, given(answer.metrics), answer.update)

    def _owned(self, update: Update) -> Update:
        """An update with arrays of its own, which hold and which nobody can change."""
        if update.delta is None:
            return update
        return replace(update, delta=self._copied(update.delta)[0])

    def _copied(self, parameters: Parameters) -> tuple[Parameters, str]:
        """A copy that nobody can change, and the digest that its file would have."""
        tensors, digest = copy_hashed(parameters, self.plan.digests)
        return MappingProxyType(tensors), digest

    def _keep(self, parameters: Parameters) -> str:
        """Keep a copy; its digest."""
        for digest, kept in self._kept.items():
            if kept is parameters:
                return digest
        copy, digest = self._copied(parameters)
        self._kept.setdefault(digest, copy)
        return digest


def _needed(run: Run) -> set[str | None]:
    """Digests of what a run refers to."""
    committed = {run.model, run.best.model if run.best else None}
    needed = {run.state, *run.results.values(), *(model.digest for model in committed if model)}
    return needed | {digest for exchange in run.exchanges.values() for digest in received_digests(exchange)}


def _exhaust(answers: Iterator[Update]) -> None:
    for _ in answers:
        pass


def _call(workflow: Callable[[Federation], None], federation: Federation) -> None:
    try:
        workflow(federation)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the outermost edge of the plan's own workflow
        told = workflow_failure(error)
        if told is error:
            raise
        raise told from error
