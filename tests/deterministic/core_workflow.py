"""The workflow of a `CoreWorld`: what asks, sums and commits, dies, and begins again from the last commit."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.deterministic.core_values import next_model, result_of, sum_of, value_of
from tests.deterministic.dying import Died

from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.exchange import Exchange
from hanse.core.run.lifecycle import Fail, Finish
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream, RecordAggregate
from hanse.core.run.run import Phase
from hanse.core.values.ask_inputs import NOTHING_BESIDE, AskInputs
from hanse.core.values.model_ref import ModelRef
from hanse.errors import RunError

if TYPE_CHECKING:
    from tests.deterministic.core_aggregator import Aggregator
    from tests.deterministic.core_world import CoreWorld

Call = Callable[[], Any]
"""One call of the worker, carried out by its host: what it comes to, or None to wait and look again."""
Calls = Generator[Call, Any, None]

TAKEN_A_VERSION = 2
"""Updates of a stream that go into one model."""


class Workflow:
    """One life of a run's worker, with its host; ends with the life of the aggregator."""

    def __init__(self, world: CoreWorld, aggregator: Aggregator) -> None:
        self._world = world
        self._aggregator = aggregator
        self._life = aggregator.life
        self._calls = self._stream() if world.shape.stream else self._rounds()
        self._waiting: Call | None = None
        self.ended = False
        self.dying = False
        self._go_on(None)

    def look(self) -> None:
        """Something has happened: what is waited for may be there."""
        if self._waiting is not None and self._lives():
            self._carry_out(self._waiting)

    # ------------------------------------------------------------------ steps

    def _lives(self) -> bool:
        return not self.ended and self._life == self._aggregator.life

    def _go_on(self, answer: Any) -> None:
        self._waiting = None
        self._world.after(self._world.random.uniform(0, 0.2), partial(self._step, answer))

    def _step(self, answer: Any) -> None:
        if not self._lives():
            return
        try:
            call = self._calls.send(answer)
        except StopIteration:
            self.ended = True
            return
        if not self._dies("before a call"):
            self._carry_out(call)

    def _carry_out(self, call: Call) -> None:
        try:
            answer = call()
        except Died:
            return  # with the aggregator
        except RunError:
            # Whatever a workflow asks that does the same again is possible, as long as the run goes on.
            assert self._aggregator.run.phase is not Phase.RUNNING
            self.ended = True
            return
        if self._aggregator.run.phase is not Phase.RUNNING:
            self.ended = True
        elif answer is None:
            self._waiting = call
        elif not self._dies("after a call"):
            self._go_on(answer)

    def _dies(self, place: str) -> bool:
        if not self._world.dies(f"workflow {place}"):
            return False
        self.ended = self.dying = True
        self._world.after(0.05, self._bury)
        return True

    def _bury(self) -> None:
        if self._life == self._aggregator.life:
            self._aggregator.workflow_died()

    # --------------------------------------------------------------- workflow

    def _rounds(self) -> Calls:
        yield from self._begin()
        while not self._run.complete:
            number, model = self._run.committed + 1, self._run.model
            assert model is not None
            yield partial(self._open_round, number)
            trained = yield partial(self._exchange, number, 0, "train", model)
            new = next_model(model, sum_of(trained))
            if "evaluate" in self._run.plan.tasks:
                inputs = self._beside(number, new)
                yield partial(self._exchange, number, 1, "evaluate", new, inputs=inputs)
            results = {"model": result_of(new)} if self._world.shape.beside else {}
            state = value_of("state", new.digest)
            yield partial(self._commit, Commit(number, new, {"loss": 0.5}, state=state, results=results))
        yield partial(self._done, Finish())

    def _beside(self, number: int, model: ModelRef) -> AskInputs:
        if not self._world.shape.beside:
            return NOTHING_BESIDE
        return AskInputs({"edges": value_of("edges", model.digest)}, {"round": number})

    def _stream(self) -> Calls:
        yield from self._begin()
        while not self._run.complete:
            model, taken = self._run.model, dict[int, str]()
            assert model is not None
            # How many there can be depends on who takes part: a site whose update was taken is asked again.
            while len(taken) < TAKEN_A_VERSION:
                number, update = yield partial(self._next, model, frozenset(taken))
                taken[number] = update
            new = next_model(model, value_of("stream", list(taken.items())))
            yield partial(self._commit, Commit(self._run.committed + 1, new, consumed=tuple(sorted(taken))))
        yield partial(self._done, Finish())

    def _begin(self) -> Calls:
        if self._run.committed >= 0:
            return
        initial = self._run.manifest.initial_model
        if initial is not None:
            yield partial(self._commit, Commit(0, ModelRef(initial.sha256)))
            return
        cohort = yield partial(self._open_round, 0)
        for index, site in enumerate(cohort):
            given = yield partial(self._exchange, 0, index, INITIALISE, None, (site,))
            if given:
                yield partial(self._commit, Commit(0, ModelRef(given[site])))
                return
        yield partial(self._no_model, "no site could give a first model")

    # ------------------------------------------------------------------- host

    @property
    def _run(self) -> Any:
        return self._aggregator.run

    def _done(self, command: Any) -> bool:
        self._aggregator.execute(command)
        return True

    def _no_model(self, reason: str) -> bool:
        return self._done(Fail("workflow", reason))

    def _open_round(self, number: int) -> tuple[str, ...]:
        self._aggregator.execute(OpenRound(number))
        return tuple(self._run.cohort)

    def _exchange(
        self,
        number: int,
        index: int,
        task: str,
        model: ModelRef | None,
        sites: tuple[str, ...] | None = None,
        inputs: AskInputs = NOTHING_BESIDE,
    ) -> dict[str, str] | None:
        """Ask, and wait for the answers; the sum of a training is recorded."""
        self._aggregator.execute(OpenExchange(number, index, task, model, sites, inputs))
        if self._run.phase is not Phase.RUNNING:
            return None
        exchange: Exchange = self._run.in_round()[index]
        if exchange.closed is None:
            return None
        answers = {site: exchange.members[site].answer for site in exchange.answered}
        updates = {site: answer.update or "" for site, answer in answers.items() if answer is not None}
        if task == "train":
            examples = sum(answer.num_examples for answer in answers.values() if answer is not None)
            command = RecordAggregate(exchange.number, exchange.answered, examples, sum_of(updates))
            self._aggregator.execute(command)
        return updates

    def _next(self, model: ModelRef, taken: frozenset[int]) -> tuple[int, str] | None:
        self._aggregator.execute(OpenStream("train", model, taken))
        ready = [e for e in self._run.stream() if e.answered and e.number not in taken]
        if not ready:
            return None
        first: Exchange = min(ready, key=lambda e: e.members[e.answered[0]].since_ms)
        answer = first.members[first.answered[0]].answer
        assert answer is not None
        assert answer.update is not None
        return first.number, answer.update

    def _commit(self, command: Commit) -> bool:
        run = self._run
        dead = tuple(e.number for e in run.stream() if e.closed is not None and not e.answered)
        consumed = (*command.consumed, *dead)
        return self._done(replace(command, consumed=consumed))
