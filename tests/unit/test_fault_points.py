"""Points of the protocol: reached in order, waited at, and silent where nobody observes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import hanse
from hanse import fault_points
from hanse.fault_points import Facts, FaultPoint, reach, reach_async
from hanse.storage.blobs_file import FileBlobStore
from hanse.storage.journal_sql import SqlJournal

SOURCE = Path(hanse.__file__).parent
ENTRIES = [("Opened", {"exchange": 3, "site": "a"}), ("Closed", {"exchange": 3})]


class Killed(BaseException):
    """As a kill: no handler of the product takes it."""


class Log:
    """Remembers what it hears, and then does something."""

    def __init__(self, act: Callable[[FaultPoint], object] = lambda _: None) -> None:
        self.heard: list[tuple[FaultPoint, Facts]] = []
        self.act = act

    def reached(self, point: FaultPoint, facts: Facts) -> None:
        self.heard.append((point, facts))
        self.act(point)

    async def reached_async(self, point: FaultPoint, facts: Facts) -> None:
        await asyncio.sleep(0)
        self.reached(point, facts)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(fault_points, "observer", log)
    return log


def kill_at(point: FaultPoint) -> Callable[[FaultPoint], object]:
    def act(reached: FaultPoint) -> None:
        if reached is point:
            raise Killed

    return act


def test_without_an_observer_a_point_is_passed() -> None:
    assert fault_points.observer is None

    reach(FaultPoint.AFTER_COPY, most=1)
    asyncio.run(reach_async(FaultPoint.BEFORE_CALL, call="sum"))


def test_without_an_observer_the_event_loop_does_not_turn() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        asyncio.get_running_loop().call_soon(order.append, "the loop")
        await reach_async(FaultPoint.BEFORE_CALL, call="sum")
        order.append("the step")
        await asyncio.sleep(0)
        return order

    assert asyncio.run(main()) == ["the step", "the loop"]


def test_an_observer_hears_the_point_and_its_facts(log: Log) -> None:
    reach(FaultPoint.AFTER_COPY, most=1)
    asyncio.run(reach_async(FaultPoint.BEFORE_CALL, call="ask", task="train"))

    assert log.heard == [
        (FaultPoint.AFTER_COPY, {"most": 1}),
        (FaultPoint.BEFORE_CALL, {"call": "ask", "task": "train"}),
    ]


def test_a_step_waits_while_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> list[str]:
        order, leave = [], asyncio.Event()

        class Holding(Log):
            async def reached_async(self, point: FaultPoint, facts: Facts) -> None:
                order.append("held")
                await leave.wait()

        monkeypatch.setattr(fault_points, "observer", Holding())

        async def step() -> None:
            await reach_async(FaultPoint.BEFORE_ORDER, task="train", round_number=1)
            order.append("stepped")

        task = asyncio.create_task(step())
        await asyncio.sleep(0)
        order.append("something else")
        leave.set()
        await task
        return order

    assert asyncio.run(main()) == ["held", "something else", "stepped"]


def test_an_append_has_a_point_on_either_side(log: Log, tmp_path: Path) -> None:
    with closing(SqlJournal(tmp_path / "journal.db")) as journal:
        there: list[int] = []
        log.act = lambda _: there.append(len(journal.read("run")))

        journal.append("run", ENTRIES, time_ms=1)

    facts = {"stream": "run", "entries": ENTRIES}
    assert log.heard == [(FaultPoint.BEFORE_APPEND, facts), (FaultPoint.AFTER_APPEND, facts)]
    assert there == [0, 2]


@pytest.mark.parametrize(("point", "left"), [(FaultPoint.BEFORE_APPEND, 0), (FaultPoint.AFTER_APPEND, 2)])
def test_a_death_at_an_append_leaves_nothing_or_all_of_it(
    log: Log, tmp_path: Path, point: FaultPoint, left: int
) -> None:
    with closing(SqlJournal(tmp_path / "journal.db")) as journal:
        log.act = kill_at(point)

        with pytest.raises(Killed):
            journal.append("run", ENTRIES, time_ms=1)

        assert len(journal.read("run")) == left


def test_a_copy_is_whole_at_its_point_and_not_in_its_place(log: Log, tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    log.act = kill_at(FaultPoint.AFTER_COPY)

    with pytest.raises(Killed):
        store.copy(BytesIO(b"model"), 5, "sha256")

    assert log.heard == [(FaultPoint.AFTER_COPY, {"most": 5})]
    assert store.digests() == []


def test_every_point_stands_in_one_place_of_the_product() -> None:
    reached = re.compile(r"\bFaultPoint\.(\w+)")
    used = [name for path in SOURCE.rglob("*.py") for name in reached.findall(path.read_text())]

    assert sorted(used) == sorted(point.name for point in FaultPoint)


def test_nothing_in_the_product_sets_the_observer() -> None:
    sets = re.compile(r"\bobserver\b\s*(?::[^=\n]*)?=(?!=)|setattr\(.*observer")
    found: list[Any] = [
        (path.name, line)
        for path in SOURCE.rglob("*.py")
        for line in path.read_text().splitlines()
        if sets.search(line)
    ]

    assert found == [("fault_points.py", "observer: Observer | None = None")]
