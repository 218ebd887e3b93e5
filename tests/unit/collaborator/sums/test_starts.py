"""Local state that a masked task starts from: the same question at all members, and none that is gone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.collaborator.aggregators import EVALUATE
from tests.unit.collaborator.sums.cells import MASKED_TRAIN, CellSite, privacy, published
from tests.unit.collaborator.test_tasks import FakeWorkers

from hanse.collaborator.sums import preparation
from hanse.errors import TaskError
from hanse.privacy.secagg.context import SumContext

REFUSED = "task train failed (policy); the site's own log says more"


@pytest.fixture
def workers() -> FakeWorkers:
    return FakeWorkers()


def without_roster(cell: CellSite, number: int, workers: FakeWorkers, accepted: int) -> None:
    """An exchange that is over before its roster came."""
    cell.upstream.at_ready = lambda _: cell.upstream.post(None)
    cell.exchange(number, workers=workers, accepted=accepted)
    cell.upstream.at_ready = None


def test_a_task_starts_from_the_state_of_the_last_sum(cell: CellSite, workers: FakeWorkers) -> None:
    cell.exchange(1, workers=workers)
    cell.exchange(2, workers=workers, accepted=1)
    without_roster(cell, 3, workers, accepted=2)
    cell.exchange(4, workers=workers, accepted=2)

    assert [order.counted for order in workers.orders] == [0, 1, 2, 2]
    assert cell.outcome.counted == 2


def test_the_state_that_is_started_from_is_part_of_the_question(
    cell: CellSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[SumContext] = []

    def context(**told: Any) -> SumContext:
        asked.append(SumContext(**told))
        return asked[-1]

    monkeypatch.setattr(preparation, "SumContext", context)
    cell.exchange(1)
    cell.exchange(2, accepted=1)

    assert [(each.exchange, each.counted) for each in asked] == [(1, 0), (2, 1)]
    assert cell.upstream.readies[-1].body["context"] == asked[-1].digest


@pytest.mark.parametrize("accepted", [0, 99])
def test_another_state_than_the_last_two_is_refused(
    cell: CellSite, workers: FakeWorkers, accepted: int
) -> None:
    cell.exchange(1, workers=workers)
    cell.exchange(2, workers=workers, accepted=1)
    cell.exchange(3, workers=workers, accepted=accepted)

    assert cell.outcome.reason == REFUSED
    assert [order.exchange for order in workers.orders] == [1, 2]


def test_the_state_of_an_exchange_without_a_roster_does_not_count(
    cell: CellSite, workers: FakeWorkers
) -> None:
    without_roster(cell, 1, workers, accepted=0)
    cell.exchange(2, workers=workers, accepted=1)

    assert cell.outcome.reason == REFUSED


def test_a_state_that_a_task_which_failed_has_deleted_is_not_started_from(
    cell: CellSite, workers: FakeWorkers
) -> None:
    cell.exchange(1, workers=workers)
    cell.exchange(2, workers=workers, accepted=1)
    cell.exchange(3, workers=FakeWorkers(TaskError("out of memory")), accepted=1)
    cell.exchange(4, workers=workers, accepted=2)

    assert cell.outcome.reason == REFUSED


def test_a_task_that_failed_is_performed_again_from_the_same_state(
    cell: CellSite, workers: FakeWorkers
) -> None:
    cell.exchange(1, workers=workers)
    cell.exchange(2, workers=FakeWorkers(TaskError("out of memory")), accepted=1)
    cell.exchange(2, workers=workers, accepted=1)

    assert [order.counted for order in workers.orders] == [0, 1]


def test_a_task_in_the_open_cannot_have_the_state_deleted(cell: CellSite, workers: FakeWorkers) -> None:
    tasks = {"train": MASKED_TRAIN, "evaluate": EVALUATE}
    cell.work = published(cell.site, cell.run, tasks=tasks, privacy=privacy(in_the_open=["evaluate"]))
    cell.exchange(1, workers=workers)
    cell.exchange(2, workers=workers, accepted=1)
    cell.exchange(3, workers=workers, accepted=0, task="evaluate", secure_sum=None)

    assert cell.outcome.outcome == "failed"
    assert [order.exchange for order in workers.orders] == [1, 2]


def test_a_file_that_is_damaged_is_not_taken_for_the_beginning(cell: CellSite) -> None:
    cell.exchange(1)
    (cell.site.directory / "runs" / cell.work.run_id / "start.json").write_text("{")
    cell.exchange(2)

    assert cell.outcome.reason == REFUSED
