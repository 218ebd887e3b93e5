"""The inline engine: every site in this process, one task after another, over the same core."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from hanse.aggregation.registry import aggregate as aggregate_updates
from hanse.compression.update import update_seed, upload_codec
from hanse.core.plan.disclosure import check_examples, check_metrics, check_update, declared, disclosure_of
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.decide import Command
from hanse.core.run.events import Event
from hanse.core.run.exchange import Exchange
from hanse.core.run.lifecycle import AnswerPlan, Fail, Finish, Submit
from hanse.core.run.run import Phase, Run
from hanse.core.run.run_events import RunFailed
from hanse.core.run.tasks import AcceptResult, FailTask, StartTask
from hanse.core.run.workflow import Commit, OpenExchange, OpenRound, OpenStream, RecordAggregate
from hanse.core.values.digests import digest_of_bytes
from hanse.core.values.lazy import materialize
from hanse.core.values.parameters import Parameters, mismatch, not_finite, specs
from hanse.core.values.update import Aggregate, Update
from hanse.errors import DisclosureError, HanseError, TaskError, UpdateError, WorkflowError, rebuild
from hanse.learners.base import Session
from hanse.learners.failures import describe, place
from hanse.learners.perform import Ask, Performed, perform
from hanse.storage.base import Journal
from hanse.storage.journaled_run import JournaledRun
from hanse.wire.tensors import decode, encode
from hanse.workflow.base import CommitRequest, Request, Standing
from hanse.workflow.federation import Federation

Listener = Callable[[Run, Event], None]


@dataclass(frozen=True, slots=True)
class Submission:
    """What is simulated: a plan and where its first model is, if it has one."""

    manifest: Manifest
    digest: str
    initial_model: Parameters | None = None


class SimulationHost:
    """Answers a workflow by performing each site's task at once; see `hanse.workflow.base.Host`.

    Drives the state machine that the aggregator drives, checks what the
    agent checks, and aggregates as the aggregator does, so that a simulated
    run and a deployed one give the same model to the bit.
    """

    def __init__(
        self,
        submission: Submission,
        sessions: Mapping[str, Session],
        journal: Journal,
        *,
        started_ms: int,
        listener: Listener,
    ) -> None:
        """Submit the plan to all sites, which accept it.

        Args:
            submission: What to run.
            sessions: The user's code of each site, by the site's name.
            journal: Where the run is kept.
            started_ms: When the simulation begins, milliseconds since 1970. From there time is
                logical: a deadline is about real machines.
            listener: Told of every event.
        """
        run_id = f"{submission.manifest.plan.name}-simulated"
        self._sessions = sessions
        self._initial = submission.initial_model
        self._listener = listener
        self._ticks = itertools.count(started_ms)
        self._ledger = JournaledRun(journal, run_id)
        self._tensors: dict[str, Parameters] = {}
        self._left_out: dict[tuple[str, str], Parameters] = {}
        invited = tuple(sorted(sessions))
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
                self._record(Fail(error.code, str(error)))
            raise
        self._record(Finish())
        return self.run

    @property
    def run(self) -> Run:
        """The run as it stands."""
        return self._ledger.run

    @property
    def plan(self) -> Plan:
        """The plan of the run."""
        return self.run.plan

    def tensors(self, digest: str) -> Parameters:
        """The committed parameters of this digest."""
        return self._tensors[digest]

    def standing(self) -> Standing:
        """Where the run stands now."""
        run = self.run
        return Standing(
            committed=run.committed,
            model=None if run.model is None else self._tensors[run.model],
            state={} if run.state is None else self._tensors[run.state],
            complete=run.complete,
            population=run.population,
        )

    def initial_model(self) -> Parameters | None:
        """The plan's initial model."""
        return self._initial

    def open_round(self, round_number: int) -> tuple[str, ...]:
        """Begin a round."""
        self._execute(OpenRound(round_number))
        return self.run.cohort

    def ask(self, request: Request) -> tuple[Update, ...]:
        """Have each site perform the task; the answers, in site order."""
        return tuple(_whole(update) for update in self._updates(self._exchange(request)))

    def sum(self, request: Request) -> Aggregate:
        """Have each site perform the task; the aggregate of the answers."""
        exchange = self._exchange(request)
        aggregate = aggregate_updates(self.plan.aggregation, self._updates(exchange))
        digest = None if aggregate.delta is None else self._keep(aggregate.delta)
        self._execute(RecordAggregate(exchange.number, aggregate.sites, aggregate.num_examples, digest))
        return aggregate if digest is None else replace(aggregate, delta=self._tensors[digest])

    def next_update(self, task: str, taken: frozenset[int]) -> tuple[int, Update]:
        """The next update of a stream; sites work in the order in which they were asked."""
        model = self.run.model
        if model is None:
            raise WorkflowError("a stream begins after the first model")
        while True:
            self._execute(OpenStream(task, model, taken))
            waiting = [e for e in self.run.stream() if e.closed is None]
            self._perform(waiting[0], waiting[0].unanswered[0])
            done = self.run.exchanges[waiting[0].number]
            if done.answered:
                stale = self.run.committed + 1 - done.round_number
                return done.number, _whole(self._update(done, done.answered[0], max(stale, 0)))

    def commit(self, request: CommitRequest) -> Standing:
        """Make a round's outcome the run's."""
        self._check_model(request.model)
        state = self._keep(request.state) if request.state else None
        model = self._keep(request.model)
        dead = [e.number for e in self.run.stream() if e.closed is not None and not e.num_answered]
        consumed = (*request.consumed, *dead)
        self._execute(Commit(request.round_number, model, dict(request.metrics), state, consumed))
        self._forget()
        return self.standing()

    def _execute(self, command: Command) -> None:
        """Tell the run something; raises why it failed, if it did."""
        for event in self._record(command):
            if isinstance(event, RunFailed):
                raise rebuild(event.error, event.reason)

    def _record(self, command: Command) -> tuple[Event, ...]:
        events = self._ledger.execute(command, next(self._ticks))
        for event in events:
            self._listener(self.run, event)
        return events

    def _exchange(self, request: Request) -> Exchange:
        model = None if request.model is None else self._keep(request.model)
        self._execute(OpenRound(request.round_number))
        self._execute(OpenExchange(request.round_number, request.index, request.task, model, request.sites))
        number = self.run.in_round()[request.index].number
        for site in self.run.exchanges[number].unanswered:
            self._perform(self.run.exchanges[number], site)
        return self.run.exchanges[number]

    def _perform(self, exchange: Exchange, site: str) -> None:
        """One task at one site: performed, checked as the agent would, and told to the run."""
        self._execute(StartTask(exchange.number, site))
        received = None if exchange.model is None else self._tensors[exchange.model]
        ask = Ask(exchange.number, exchange.round_number, exchange.task)
        try:
            performed = perform(self._sessions[site], self.plan, site, ask, received).materialize()
            self._check(performed, exchange, site, received)
            travels, left_out = self._compress(performed, exchange, site)
        except (TaskError, DisclosureError, UpdateError) as error:
            tail = error.log_tail if isinstance(error, TaskError) else ""
            self._execute(FailTask(exchange.number, site, str(error), tail))
            return
        update = None if travels is None else self._keep(travels)
        metrics = dict(performed.metrics)
        self._execute(AcceptResult(exchange.number, site, performed.num_examples, metrics, update))
        self._left_out[site, exchange.task] = left_out

    def _compress(
        self, performed: Performed, exchange: Exchange, site: str
    ) -> tuple[Parameters | None, Parameters]:
        """What travels of an update, as the agent would send it, and what the next one makes up for."""
        codec = upload_codec(self.plan, exchange.task)
        if codec is None or performed.update is None:
            return performed.update, {}
        seed = update_seed(self.plan.seed, site, exchange.number)
        encoded = list(codec.encode(performed.update, seed, self._left_out.get((site, exchange.task))))
        left_out = {each.name: each.left_out for each in encoded if each.left_out is not None}
        return {each.name: each.data for each in encoded}, left_out

    def _check(
        self, performed: Performed, exchange: Exchange, site: str, received: Parameters | None
    ) -> None:
        what = f"task {exchange.task} at {site}"
        disclosure = disclosure_of(self.plan, exchange.task)
        check_examples(performed.num_examples, what)
        check_metrics(performed.metrics, disclosure, what)
        if performed.update is not None:
            like = performed.update if exchange.task == INITIALISE else received or {}
            check_update(performed.update, declared(specs(like), disclosure), what)

    def _check_model(self, model: Parameters) -> None:
        if self.run.model is None:
            return
        problem = mismatch(specs(model), specs(self._tensors[self.run.model]))
        if problem:
            raise WorkflowError(f"the model to commit is not like the model before it: {problem}")
        bad = not_finite(model)
        if bad:
            raise WorkflowError(f"the model to commit has a NaN or an infinity in tensor {bad!r}")

    def _updates(self, exchange: Exchange) -> tuple[Update, ...]:
        return tuple(self._update(exchange, site) for site in exchange.answered)

    def _update(self, exchange: Exchange, site: str, staleness: int = 0) -> Update:
        answer = exchange.members[site].answer
        if answer is None:
            raise WorkflowError(f"{site} has not answered exchange {exchange.number}")
        delta = None if answer.update is None else self._decoded(exchange, site, answer.update)
        return Update(site, answer.num_examples, answer.metrics, delta, staleness)

    def _decoded(self, exchange: Exchange, site: str, digest: str) -> Parameters:
        """The tensors of an update, as they were before it was compressed, or nearly so."""
        travelled, codec = self._tensors[digest], upload_codec(self.plan, exchange.task)
        if codec is None or exchange.model is None:
            return travelled
        expected = declared(specs(self._tensors[exchange.model]), disclosure_of(self.plan, exchange.task))
        return codec.decode(travelled, expected, update_seed(self.plan.seed, site, exchange.number))

    def _keep(self, parameters: Parameters) -> str:
        """Keep a copy that nobody can change, by the digest that its file would have."""
        data = encode(parameters)
        digest = digest_of_bytes(data, self.plan.digests)
        if digest not in self._tensors:
            self._tensors[digest] = MappingProxyType(decode(data))
        return digest

    def _forget(self) -> None:
        """Drop what no commit and no open exchange needs any more."""
        run = self.run
        kept = {run.model, run.state, run.best.model if run.best else None}
        for exchange in run.exchanges.values():
            kept.add(exchange.model)
            kept |= {m.answer.update for m in exchange.members.values() if m.answer is not None}
        self._tensors = {digest: value for digest, value in self._tensors.items() if digest in kept}


def _whole(update: Update) -> Update:
    """An update whose tensors are arrays, for a workflow to work with."""
    if update.delta is None:
        return update
    return replace(update, delta=materialize(update.delta))


def _call(workflow: Callable[[Federation], None], federation: Federation) -> None:
    try:
        workflow(federation)
    except HanseError:
        raise
    except Exception as error:  # the outermost edge of the plan's own workflow
        raise WorkflowError(f"the workflow failed at {place(error)}: {describe(error)}") from error
