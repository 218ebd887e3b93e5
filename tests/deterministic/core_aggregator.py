"""The aggregator of a `CoreWorld`: a run whose journal outlives its process, and the work of the services."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.deterministic.core_workflow import Workflow
from tests.deterministic.dying import Died, DyingJournal

from hanse.aggregator.run.site_work import assignments, concerns
from hanse.core.journal.chain import Record
from hanse.core.run.decide import Command
from hanse.core.run.events import Event
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.lifecycle import AnswerPlan, Recover, RestartWorker, Resume, Submit
from hanse.core.run.run import TERMINAL, Phase, Run
from hanse.core.run.tasks import AcceptResult, FailTask, RefuseResult, StartTask, member_state
from hanse.core.run.timing import Tick, next_wakeup_ms
from hanse.core.values.ask_inputs import NOTHING_BESIDE, AskInputs
from hanse.core.values.model_ref import ModelRef
from hanse.errors import RunError
from hanse.storage.journal_memory import MemoryJournal
from hanse.storage.journaled_run import JournaledRun

if TYPE_CHECKING:
    from tests.deterministic.core_world import CoreWorld

RUN = "demo-1"
LONG_POLL_S = 30.0

Reply = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A task as a site hears of it."""

    exchange: int
    round_number: int
    task: str
    model: ModelRef | None
    asked_ms: int
    inputs: AskInputs = NOTHING_BESIDE


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that is wanted of a site."""

    review: bool
    tasks: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a site says of a task; no update where it failed."""

    site: str
    about: Asked
    update: str | None
    num_examples: int


class Aggregator:
    """The process, in one life after another.

    Attributes:
        life: Which of its lives this is; what an earlier one had begun is void.
        up: Whether it lives.
    """

    def __init__(self, world: CoreWorld) -> None:
        self._world = world
        self._kept = MemoryJournal()
        self.life = 0
        self.up = False
        self._journaled_run: JournaledRun
        self._workflow: Workflow | None = None
        self._polls: list[Callable[[], None]] = []
        self._progress: dict[tuple[int, str], int] = {}
        self._armed = 0

    # ------------------------------------------------------------ life, death

    def start(self) -> None:
        """Come up, and take up the run where the journal has it."""
        self.life, self.up = self.life + 1, True
        self._polls, self._progress, self._workflow = [], {}, None
        self._journaled_run = JournaledRun(
            DyingJournal(self._kept, lambda place: self._world.dies(f"aggregator {place}")), RUN
        )
        manifest, shape = self._world.shape.manifest(), self._world.shape
        try:
            if not self._journaled_run.events:
                self.execute(Submit(RUN, manifest, manifest.digest, "operator", shape.sites))
            elif self.run.phase not in TERMINAL:
                self.execute(Recover())
        except Died:
            return
        self._drive()

    def die(self) -> None:
        """End as by kill -9; another life begins after a while."""
        before = self._journaled_run
        self.life, self.up = self.life + 1, False
        self._world.checks.survived(before, self.records())
        self._world.cut()
        self._world.after(self._world.random.uniform(0.1, 20), self.start)

    def _drive(self) -> None:
        self._arm()
        before = self._workflow
        if self.run.phase is Phase.RUNNING and (before is None or (before.ended and not before.dying)):
            self._workflow = Workflow(self._world, self)

    def workflow_died(self) -> None:
        """The run's worker is gone; another is started, unless the run has failed for it."""
        self._workflow = None
        try:
            if self.run.phase is Phase.RUNNING:
                self.execute(RestartWorker("killed"))
        except Died:
            return
        self._drive()

    # ---------------------------------------------------------------- the run

    @property
    def run(self) -> Run:
        return self._journaled_run.run

    @property
    def where(self) -> str:
        """Where it stands, for who reads a failure."""
        return f"{'up' if self.up else 'down'}, {self.run}"

    def records(self) -> list[Record]:
        return self._kept.read(RUN)

    def execute(self, command: Command) -> tuple[Event, ...]:
        """Carry out a command.

        Raises:
            Died: The process died of it.
            RunError: The command is not possible.
        """
        try:
            events = self._journaled_run.execute(command, self._world.clock_ms())
        except Died:
            self.die()
            raise
        if events:
            life = self.life
            self._world.after(0, lambda: self._announce() if life == self.life else None)
        return events

    def told(self, command: Command) -> None:
        """Carry out what somebody says who does not wait for what comes of it."""
        with suppress(Died):
            self.execute(command)

    def resume(self, command: Resume) -> None:
        try:
            self.execute(command)
        except Died:
            return
        self._drive()

    def _announce(self) -> None:
        waiting, self._polls = self._polls, []
        for look in waiting:
            look()
        if self._workflow is not None:
            self._workflow.look()
        self._drive()

    # ------------------------------------------------------------------- time

    def _arm(self) -> None:
        """Look at the clock when something can come due; what was to look before is void."""
        self._armed += 1
        armed, life = self._armed, self.life
        wakeup_ms = next_wakeup_ms(self.run, Tick(self._progress))
        if wakeup_ms is not None:
            left_s = max((wakeup_ms - self._world.clock_ms()) / 1000, 0.01)
            self._world.after(left_s, lambda: self._tick(life, armed))

    def _tick(self, life: int, armed: int) -> None:
        if (life, armed) != (self.life, self._armed):
            return
        try:
            self.execute(Tick(dict(self._progress)))
        except Died:
            return
        self._arm()

    # --------------------------------------------------------------- requests

    def next(self, site: str, known: Wanted | None, reply: Reply) -> None:
        """Reply when the site's work is another than it knows, or after a while."""
        life = self.life

        def look(last: bool = False) -> None:
            if life != self.life or done:
                return
            work = self._wanted(site)
            if work != known or last:
                done.append(True)
                reply(work)
            else:
                self._polls.append(look)

        done: list[bool] = []
        self._world.after(LONG_POLL_S, lambda: look(True))
        look()

    def _wanted(self, site: str) -> Wanted:
        run = self.run
        if not concerns(run, site):
            return Wanted(False, ())
        tasks = tuple(
            Asked(e.number, e.round_number, e.task, e.model, e.clock_ms, e.inputs)
            for e in assignments(run, site)
        )
        self._world.checks.asked(site, tasks)
        return Wanted(site not in run.answers, tasks)

    def answer(self, site: str, accepted: bool, reply: Reply) -> None:
        """Take a site's answer to the plan."""
        self._serve(lambda: self.execute(AnswerPlan(site, accepted)), reply)

    def progress(self, site: str, exchange: int, reply: Reply) -> None:
        """Note that a task is under way."""
        found = self.run.exchanges.get(exchange)
        if found is None or site not in found.members:
            return reply(True)
        self._progress[exchange, site] = self._world.clock_ms()
        if found.members[site].state in (MemberState.ASSIGNED, MemberState.IDLE):
            return self._serve(lambda: self.execute(StartTask(exchange, site)), reply)
        return reply(True)

    def result(self, outcome: Outcome, reply: Reply) -> None:
        """Take an outcome, or refuse it: then it is recorded, and changes nothing else."""
        site, number = outcome.site, outcome.about.exchange

        def take() -> None:
            try:
                events = self.execute(self._verified(outcome))
            except RunError as error:
                before = self.run
                self.execute(RefuseResult(number, site, error.code, error.message[:1000]))
                assert _told(self.run) == _told(before), "a refused result changed the run"
                raise
            if outcome.update is not None:
                self._world.checks.taken(site, number, events)

        self._serve(take, reply)

    def _verified(self, outcome: Outcome) -> Command:
        """As `hanse.aggregator.requests.verify.StatementVerifier`, without signatures and tensors."""
        site, about = outcome.site, outcome.about
        accept = AcceptResult(
            about.exchange, site, outcome.num_examples, {"loss": 0.5}, _tensors(about.task, outcome.update)
        )
        if member_state(self.run, about.exchange, site) is MemberState.ANSWERED:
            return accept
        exchange = self.run.exchanges[about.exchange]
        if (about.round_number, about.task, about.model) != _named(exchange):
            raise RunError(f"{site} answered another task than exchange {about.exchange}")
        if outcome.update is None:
            return FailTask(about.exchange, site, "the task failed")
        return accept

    def _serve(self, serve: Callable[[], object], reply: Reply) -> None:
        try:
            serve()
        except Died:
            return
        except RunError as error:
            return reply(error)
        reply(True)


def _tensors(task: str, update: str | None) -> str | None:
    return None if task == "evaluate" else update


def _named(exchange: Exchange) -> tuple[int, str, ModelRef | None]:
    return exchange.round_number, exchange.task, exchange.model


def _told(run: Run) -> object:
    """All that sites' results have a hand in; what time brings about meanwhile is not of it."""
    members = {number: exchange.members for number, exchange in run.exchanges.items()}
    return members, run.accepted, run.quiet, run.model
