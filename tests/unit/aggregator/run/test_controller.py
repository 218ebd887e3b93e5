"""One run at the aggregator."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.unit.core.run.runs import MODEL, UPDATE, submit

from hanse.aggregator.run.controller import RunController
from hanse.concurrency import Signals
from hanse.core.journal.chain import Entry, Record, Times
from hanse.core.run.decide import Command
from hanse.core.run.exchange import Exchange
from hanse.core.run.lifecycle import AnswerPlan, Fail, Stop, Submit
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.run import Phase
from hanse.core.run.tasks import AcceptResult, StartTask
from hanse.errors import RunError, StorageError
from hanse.storage.journal_memory import MemoryJournal
from hanse.storage.journaled_run import JournaledRun

Run = Callable[[Any], Any]


class Gate(MemoryJournal):
    """A journal that can be slow, or full."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()
        self.full = 0
        self.appended: list[int] = []

    def append(self, stream: str, entries: Sequence[Entry], *, time_ms: Times) -> tuple[Record, ...]:
        self.appended.append(len(entries))
        self.reached.set()
        assert self.open.wait(10)
        if self.full:
            self.full -= 1
            raise StorageError("the disk is full")
        return super().append(stream, entries, time_ms=time_ms)


def stopped() -> int:
    """A clock that stands still."""
    return 0


def controlled(journal: MemoryJournal | None = None, clock: Callable[[], int] = stopped) -> RunController:
    return RunController(JournaledRun(journal or MemoryJournal(), "demo-1"), Signals(), clock)


async def asked(controller: RunController, submission: Submit | None = None) -> None:
    """Bring a run to where its sites are asked to train."""
    submission = submission or submit("ab")
    await controller.execute(submission)
    for site in submission.invited:
        await controller.execute(AnswerPlan(site, accepted=True))
    for command in (OpenRound(0), Commit(0, MODEL), OpenRound(1), OpenExchange(1, 0, "train", MODEL)):
        await controller.execute(command)


def first_exchange(controller: RunController) -> Exchange:
    return controller.run.exchanges[1]


class TestExecute:
    def test_commands_are_carried_out_one_at_a_time_in_the_order_they_came(self, run: Run) -> None:
        controller = controlled()

        async def main() -> None:
            await asked(controller)
            await asyncio.gather(*(controller.execute(StartTask(1, site)) for site in "ab"))

        run(main())

        assert (
            controller.run.exchanges[1].members["a"].since_ms
            < controller.run.exchanges[1].members["b"].since_ms
        )

    def test_a_caller_who_is_cut_off_takes_nothing_back(self, run: Run) -> None:
        journal = Gate()
        controller = controlled(journal)

        async def main() -> None:
            await asked(controller)
            journal.open.clear()
            stopping = asyncio.create_task(controller.execute(Stop("operator")))
            woken = asyncio.create_task(controller.in_phase(Phase.STOPPED))
            journal.reached.clear()
            await asyncio.to_thread(journal.reached.wait, 10)
            stopping.cancel()
            await asyncio.wait({stopping})
            assert stopping.cancelled()
            journal.open.set()
            await controller.settled()
            assert await woken is Phase.STOPPED

        run(main())

    def test_a_full_disk_reaches_the_caller_and_changes_nothing(self, run: Run) -> None:
        journal = Gate()
        controller = controlled(journal)

        async def main() -> None:
            await asked(controller)
            journal.full = 1
            with pytest.raises(StorageError, match="full"):
                await controller.execute(AcceptResult(1, "a", 1, {}, UPDATE))
            assert first_exchange(controller).answered == ()
            assert await controller.execute(AcceptResult(1, "a", 1, {}, UPDATE))

        run(main())

    def test_two_results_at_once_count_once(self, run: Run) -> None:
        controller = controlled()

        async def main() -> list[int]:
            await asked(controller)
            results = (AcceptResult(1, "a", 1, {}, digest * 64) for digest in "de")
            events = await asyncio.gather(*(controller.execute(result) for result in results))
            return sorted(map(len, events))

        assert run(main()) == [0, 1]


class TestGroupCommit:
    def test_what_comes_while_the_disk_is_busy_is_written_together(self, run: Run) -> None:
        journal = Gate()
        controller = controlled(journal)

        async def main() -> list[int]:
            await asked(controller, submit("abcdef"))
            journal.open.clear()
            journal.appended.clear()
            journal.reached.clear()
            first = asyncio.create_task(controller.execute(StartTask(1, "a")))
            await asyncio.to_thread(journal.reached.wait, 10)
            rest = [
                asyncio.create_task(controller.execute(AcceptResult(1, s, 1, {}, UPDATE))) for s in "bcdef"
            ]
            await asyncio.sleep(0)
            journal.open.set()
            await asyncio.gather(first, *rest)
            return journal.appended

        assert run(main()) == [1, 5]

    def test_nobody_is_answered_before_it_is_written(self, run: Run) -> None:
        journal = Gate()
        controller = controlled(journal)

        async def main() -> None:
            await asked(controller)
            journal.open.clear()
            results = [
                asyncio.create_task(controller.execute(AcceptResult(1, s, 1, {}, UPDATE))) for s in "ab"
            ]
            journal.reached.clear()
            await asyncio.to_thread(journal.reached.wait, 10)
            assert not any(result.done() for result in results)
            assert first_exchange(controller).answered == ()
            journal.open.set()
            await asyncio.gather(*results)
            assert first_exchange(controller).answered == ("a", "b")

        run(main())

    def test_an_error_reaches_only_the_one_whose_command_it_is(self, run: Run) -> None:
        controller = controlled()

        async def main() -> list[object]:
            await asked(controller)
            commands = (AcceptResult(9, "a", 1, {}, None), AcceptResult(1, "b", 1, {}, UPDATE))
            return list(await asyncio.gather(*map(controller.execute, commands), return_exceptions=True))

        refused, accepted = run(main())
        assert isinstance(refused, RunError)
        assert isinstance(accepted, tuple)

    def test_a_full_disk_reaches_all_whose_commands_were_to_be_written(self, run: Run) -> None:
        journal = Gate()
        controller = controlled(journal)

        async def main() -> list[object]:
            await asked(controller)
            journal.full = 1
            results = (controller.execute(AcceptResult(1, site, 1, {}, UPDATE)) for site in "ab")
            return list(await asyncio.gather(*results, return_exceptions=True))

        assert all(isinstance(outcome, StorageError) for outcome in run(main()))
        assert first_exchange(controller).answered == ()

    def test_a_fault_of_ours_leaves_nobody_waiting(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        journal = Gate()
        controller = controlled(journal)

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        async def main() -> None:
            await asked(controller)
            monkeypatch.setattr(journal, "append", broken)
            with pytest.raises(ZeroDivisionError):
                await controller.execute(StartTask(1, "a"))
            monkeypatch.undo()
            assert await controller.execute(StartTask(1, "a"))

        run(main())


class TestWaiting:
    def test_an_exchange_that_closes_is_given_to_who_waits(self, run: Run) -> None:
        controller = controlled()

        async def main() -> str | None:
            await asked(controller)
            waiting = asyncio.create_task(controller.closed(lambda _: first_exchange(controller)))
            for site in "ab":
                await controller.execute(AcceptResult(1, site, 1, {}, UPDATE))
            return (await waiting).closed

        assert run(main()) == "all"

    def test_an_exchange_that_has_closed_is_given_at_once(self, run: Run) -> None:
        controller = controlled()

        async def main() -> Exchange:
            await asked(controller)
            for site in "ab":
                await controller.execute(AcceptResult(1, site, 1, {}, UPDATE))
            return await controller.closed(lambda _: first_exchange(controller))

        assert run(main()).answered == ("a", "b")

    def test_the_end_of_the_run_ends_the_wait_with_its_reason(self, run: Run) -> None:
        controller = controlled()

        async def main() -> None:
            await asked(controller)
            waiting = asyncio.create_task(controller.closed(lambda _: first_exchange(controller)))
            await asyncio.sleep(0)
            await controller.execute(Fail("workflow", "no luck"))
            await waiting

        with pytest.raises(RunError, match="no luck"):
            run(main())

    def test_the_next_event_is_waited_for(self, run: Run) -> None:
        controller = controlled()

        async def main() -> tuple[bool, bool]:
            await asked(controller)
            seen = controller.events
            in_time = await controller.wait_for_events(seen, timeout_s=0.01)
            waiting = asyncio.create_task(controller.wait_for_events(seen))
            await controller.execute(StartTask(1, "a"))
            return in_time, await waiting

        assert run(main()) == (False, True)


class TestProgress:
    def test_the_first_sign_of_a_task_is_told_to_the_run(self, run: Run) -> None:
        controller = controlled()
        run(asked(controller))

        assert controller.note_progress(1, "a")
        run(controller.execute(StartTask(1, "a")))
        assert not controller.note_progress(1, "a")

    @pytest.mark.parametrize(("exchange", "site"), [(9, "a"), (1, "z")])
    def test_signs_of_what_was_not_asked_are_not_kept(self, run: Run, exchange: int, site: str) -> None:
        controller = controlled()
        run(asked(controller))

        assert not controller.note_progress(exchange, site)
        assert not controller._progress_ms

    def test_signs_are_forgotten_with_their_exchange(self, run: Run) -> None:
        controller = controlled()

        async def main() -> None:
            await asked(controller)
            controller.note_progress(1, "a")
            for site in "ab":
                await controller.execute(AcceptResult(1, site, 1, {}, UPDATE))
            await keeping_time(controller)

        run(main())

        assert not controller._progress_ms


async def keeping_time(controller: RunController, seconds: float = 0.05) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await controller.keep_time()


class TestTime:
    def quick(self) -> Submit:
        return submit("ab", cohort={"idle_limit": "20ms", "deadline": "40ms", "quorum": 0.5})

    def test_deadlines_and_silence_are_noticed(self, run: Run) -> None:
        controller = controlled(clock=lambda: time.monotonic_ns() // 10**6)

        async def main() -> None:
            await asked(controller, self.quick())
            await controller.execute(AcceptResult(1, "a", 1, {}, UPDATE))
            clock = asyncio.create_task(controller.keep_time())
            closed = await controller.closed(lambda _: first_exchange(controller))
            clock.cancel()
            assert (closed.closed, closed.unanswered) == ("idle", ("b",))

        run(main())

    def test_progress_keeps_a_site_from_being_given_up(self, run: Run) -> None:
        controller = controlled(clock=lambda: time.monotonic_ns() // 10**6)

        async def main() -> None:
            await asked(controller, self.quick())
            await controller.execute(AcceptResult(1, "a", 1, {}, UPDATE))
            clock = asyncio.create_task(controller.keep_time())
            closing = asyncio.create_task(controller.closed(lambda _: first_exchange(controller)))
            while not closing.done():
                controller.note_progress(1, "b")
                await asyncio.sleep(0.005)
            clock.cancel()
            assert closing.result().closed == "deadline"

        run(main())

    def test_a_full_disk_is_outlived(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hanse.aggregator.run.controller._STORAGE_PAUSE_S", 0.01)
        journal = Gate()
        controller = controlled(journal, clock=lambda: time.monotonic_ns() // 10**6)

        async def main() -> None:
            await asked(controller, self.quick())
            await controller.execute(AcceptResult(1, "a", 1, {}, UPDATE))
            journal.full = 2
            clock = asyncio.create_task(controller.keep_time())
            await controller.closed(lambda _: first_exchange(controller))
            clock.cancel()

        run(main())

        assert journal.full == 0


@pytest.mark.parametrize(
    ("command", "woken"),
    [
        pytest.param(OpenExchange(1, 1, "evaluate", MODEL, ("a",)), ["demo-1", "a"], id="asked"),
        pytest.param(AcceptResult(1, "a", 1, {}, UPDATE), ["demo-1"], id="what it said itself"),
    ],
)
def test_those_to_whom_an_event_is_news_are_notified(run: Run, command: Command, woken: list[str]) -> None:
    controller = controlled()
    notified: list[object] = []
    controller.signals.notify = notified.extend  # type: ignore[method-assign]

    async def main() -> None:
        await asked(controller)
        notified.clear()
        await controller.execute(command)

    run(main())

    assert notified == woken
