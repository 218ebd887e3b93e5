"""What has to hold in every schedule of a `CoreWorld`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.deterministic.core_values import first_model, next_model, result_of, sum_of, update_of, value_of
from tests.replays import replay

from hanse.core.journal.chain import Record, check_chain
from hanse.core.plan.exchange_limits import most_in_round, most_in_run
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.events import Event, read_event
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    RoundCommitted,
    UpdateAccepted,
    UpdatesAggregated,
)
from hanse.core.run.run import Run
from hanse.core.values.model_ref import ModelRef
from hanse.errors import QuorumError, WorkflowError
from hanse.storage.journaled_run import JournaledRun

if TYPE_CHECKING:
    from tests.deterministic.core_aggregator import Asked
    from tests.deterministic.core_world import CoreWorld

ENDS = {QuorumError.code, WorkflowError.code}
"""What a run may fail with in any weather: too few answers, or a worker that died again and again."""


class Checks:
    """Holds a schedule against what is promised, on the way and at the end."""

    def __init__(self, world: CoreWorld) -> None:
        self._world = world
        self._taken: set[tuple[str, int]] = set()
        """Results whose site may have been told that they are taken."""
        self._asked: dict[tuple[str, int], Asked] = {}
        """What each site was asked, by the number of the exchange."""

    def taken(self, site: str, exchange: int, events: tuple[Event, ...]) -> None:
        """A result was taken: now, or before, when these events say nothing of it."""
        new = any(isinstance(event, UpdateAccepted) for event in events)
        assert new or (site, exchange) in self._accepted(), f"{site} was told a lie about exchange {exchange}"
        self._taken.add((site, exchange))

    def has(self, site: str, exchange: int) -> bool:
        """Whether a result was taken."""
        return (site, exchange) in self._taken

    def asked(self, site: str, tasks: tuple[Asked, ...]) -> None:
        """A site is asked: for nothing that was taken from it."""
        again = [task.exchange for task in tasks if (site, task.exchange) in self._taken]
        assert not again, f"{site} is asked again for exchanges {again}"
        for task in tasks:
            before = self._asked.setdefault((site, task.exchange), task)
            same = (before.round_number, before.task, before.model)
            assert (task.round_number, task.task, task.model) == same, f"another exchange {task.exchange}"

    def not_too_often(self, run: Run) -> None:
        """No site was ever asked in more exchanges than the plan says, in any of its lives."""
        plan, of_round, of_run = run.plan, Counter[tuple[str, str, int]](), Counter[tuple[str, str]]()
        for (site, _), asked in self._asked.items():
            of_round[site, asked.task, asked.round_number] += 1
            of_run[site, asked.task] += 1
        if not self._world.shape.stream:
            most = max(of_round, key=lambda key: of_round[key])
            assert of_round[most] <= most_in_round(plan, most[1]), f"{most}: asked {of_round[most]} times"
        for (site, task), times in of_run.items():
            assert times <= most_in_run(plan, task), f"{site} was asked for {task} in {times} exchanges"

    def survived(self, before: JournaledRun, records: list[Record]) -> None:
        """The aggregator died: what it believed last is what the journal has, or that plus one append."""
        known = records[: before.events]
        if known:
            assert _replayed(known) == before.run, "the state in memory was not that of the journal"

    def ended_early(self, run: Run) -> None:
        """A run is not finished: it says truly why."""
        assert run.reason, "the run ended without a reason"

    def at_the_end(self) -> None:
        """The run has finished."""
        world = self._world
        records = world.aggregator.records()
        check_chain(records)
        times = [record.time_ms for record in records]
        assert times == sorted(times)
        run = world.aggregator.run
        assert _replayed(records) == run
        self.not_too_often(run)
        events = [read_event(record.kind, record.body) for record in records]
        for event in events:
            if event.kind == "RunFailed":
                assert event.error in ENDS, event.reason  # type: ignore[union-attr]
        counted = Counter((e.site, e.exchange) for e in events if isinstance(e, UpdateAccepted))
        assert max(counted.values(), default=1) == 1, "an update was counted twice"
        lost = self._taken - set(counted)
        assert not lost, f"taken, and lost: {lost}"
        committed = [e for e in events if isinstance(e, RoundCommitted)]
        assert [e.round_number for e in committed] == list(range(world.shape.rounds + 1))
        expected = streamed(events) if world.shape.stream else averaged(events)
        assert [e.model for e in committed] == expected, "a model is not that of an undisturbed run"
        if world.shape.beside and not world.shape.stream:
            assert run.model is not None
            assert run.results == {"model": result_of(run.model)}, "a result is lost"

    def _accepted(self) -> set[tuple[str, int]]:
        return {
            (record.body["site"], record.body["exchange"])
            for record in self._world.aggregator.records()
            if record.kind == "UpdateAccepted"
        }


def averaged(events: list[Event]) -> list[ModelRef]:
    """The models of an undisturbed run of federated averaging in which the same sites took part.

    Who took part stands in the closings; what each gave is computed here, from nothing that
    the run wrote down.
    """
    opened = {e.exchange: e for e in events if isinstance(e, ExchangeOpened)}
    models, committed = [_first(events, opened)], -1
    for event in events:
        if isinstance(event, RoundCommitted):
            committed = event.round_number
        if isinstance(event, ExchangeClosed) and opened[event.exchange].task == "train":
            number = opened[event.exchange].round_number
            assert number == committed + 1, "a committed round was trained again"
            # An open one may be: where it began anew because too few of its sites are left.
            del models[number:]
            given = {site: update_of(site, number, "train", models[-1]) for site in event.answered}
            models.append(next_model(models[-1], sum_of(given)))
        if isinstance(event, UpdatesAggregated):
            closed = next(e for e in events if isinstance(e, ExchangeClosed) and e.exchange == event.exchange)
            assert event.sites == closed.answered, "an accepted update was left out of the sum"
    return models


def streamed(events: list[Event]) -> list[ModelRef]:
    """The models of an undisturbed run of a stream, whose updates came in the same order."""
    opened = {e.exchange: e for e in events if isinstance(e, ExchangeOpened)}
    models, came, spent = [_first(events, opened)], list[tuple[int, str]](), set[int]()
    for event in events:
        if isinstance(event, UpdateAccepted) and opened[event.exchange].index < 0:
            began = opened[event.exchange].round_number
            came.append((event.exchange, update_of(event.site, began, "train", models[began - 1])))
        elif isinstance(event, RoundCommitted) and event.round_number > 0:
            assert not spent & set(event.consumed), "an update of the stream was consumed twice"
            consumed = [(number, update) for number, update in came if number in event.consumed]
            assert consumed == [c for c in came if c[0] not in spent][: len(consumed)], "out of order"
            spent |= set(event.consumed)
            models.append(next_model(models[-1], value_of("stream", consumed)))
    return models


def _first(events: list[Event], opened: dict[int, ExchangeOpened]) -> ModelRef:
    for event in events:
        if isinstance(event, ExchangeClosed) and opened[event.exchange].task == INITIALISE and event.answered:
            return ModelRef(first_model(event.answered[0]))
        if isinstance(event, RoundCommitted):
            break
    return ModelRef("f" * 64)


def _replayed(records: list[Record]) -> Run | None:
    return replay((read_event(record.kind, record.body), record.time_ms) for record in records)
