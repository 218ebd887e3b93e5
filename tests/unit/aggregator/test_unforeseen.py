"""Errors of one run that were not foreseen, and text that is not printable: nothing else is taken down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.federations import FederationFixture
from tests.unit.core.run.runs import Driver

from hanse.aggregator.run.controller import RunController
from hanse.aggregator.run.site_work import WorkList
from hanse.aggregator.run_registry import RunRegistry
from hanse.core.run.lifecycle import Recover
from hanse.core.run.round_events import TaskFailed
from hanse.errors import DisclosureError, StorageError
from hanse.wire.messages.sites import NextRequest

Run = Callable[[Any], Any]


@pytest.mark.parametrize("error", [StorageError("the blob of the plan is gone"), ZeroDivisionError()])
def test_a_run_whose_work_cannot_be_told_hides_no_work_of_the_others(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    state = Driver("ab").asked().state
    broken, whole = (replace(state, run_id=run_id) for run_id in ("broken-1", "whole-1"))
    sizes = iter([error, 100, 100, 100])

    def size_of(digest: str) -> int:
        found = next(sizes, 100)
        if isinstance(found, Exception):
            raise found
        return found

    work_list = WorkList(size_of, 10**6)
    work = work_list.of("a", [broken, whole])

    assert [(run.run_id, len(run.assignments)) for run in work.runs] == [("broken-1", 0), ("whole-1", 1)]
    assert "run broken-1: its work for a cannot be listed" in caplog.text
    assert [len(run.assignments) for run in work_list.of("a", [broken, whole]).runs] == [1, 1]


def test_what_cannot_be_announced_is_done_all_the_same(
    fixture: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_self: RunController, _events: object) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked()
            monkeypatch.setattr(RunController, "_announce", broken)
            reply = await fixture.answered(run_id, "a")
            assert not reply.duplicate

    run(main())

    assert "ZeroDivisionError" in caplog.text


def test_a_run_that_cannot_be_resumed_keeps_no_other_from_it(
    fixture: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with fixture.serving():
            broken, whole = await fixture.submit(), await fixture.submit()
            take_up = RunRegistry._take_up

            async def taken_up(registry: RunRegistry, controller: RunController) -> None:
                if controller.run.run_id == broken:
                    raise ZeroDivisionError
                await take_up(registry, controller)

            monkeypatch.setattr(RunRegistry, "_take_up", taken_up)
            await fixture.restart()
            work = await fixture.service.site_requests.next(fixture.peer("a"), NextRequest())
            assert {run.run_id for run in work.runs} == {broken, whole}
            assert whole in fixture.service._run_registry._tasks
            assert f"run {broken} cannot be resumed" in caplog.text

    run(main())


@pytest.mark.parametrize("error", [StorageError("the disk is full"), ZeroDivisionError()])
def test_a_run_that_cannot_be_told_something_keeps_no_other_from_hearing_it(
    fixture: FederationFixture, run: Run, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with fixture.serving():
            broken, whole = await fixture.submit(), await fixture.submit()

            async def fail(*_: object) -> Any:
                raise error

            monkeypatch.setattr(fixture.controller(broken), "execute", fail)
            before = fixture.controller(whole).events
            await fixture.service._run_registry.tell_alive(Recover())
            assert fixture.controller(whole).events == before + 1

    run(main())


@pytest.mark.parametrize("told", [{"reason": "\x1b[2J"}, {"reason": "no", "log_tail": "a\n\x07"}])
def test_a_failure_in_words_that_are_not_printable_is_refused(
    fixture: FederationFixture, run: Run, told: dict[str, str]
) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked(cohort={"quorum": 0.5})
            with pytest.raises(DisclosureError, match="a states text that is not printable"):
                await fixture.hand_in(fixture.outcome(run_id, "a", outcome="failed", **told))
            assert not any(isinstance(event, TaskFailed) for event in fixture.events(run_id))

    run(main())


def test_an_answer_in_words_that_are_not_printable_is_refused(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.submit()
            with pytest.raises(DisclosureError, match="b states text that is not printable"):
                await fixture.answer(run_id, "b", reasons=("\x1b]0;owned\x07",))
            assert fixture.run(run_id).answers == {}

    run(main())
