"""Questions that a person of the site has to answer: rosters that overlap, and tasks that fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.masked_sums import Member, member
from tests.unit.collaborator.sums import cells
from tests.unit.collaborator.sums.cells import OWN, PEERS, CellSite, checked, published
from tests.unit.collaborator.test_tasks import FakeWorkers

from hanse.collaborator.sums.questions import CellsQuestion, FailuresQuestion, Questions
from hanse.collaborator.task_worker.protocol import TaskReport
from hanse.core.journal.site_records import FailureReleased
from hanse.core.journal.sum_records import CellsAgreed, RosterAccepted
from hanse.errors import ConfigError, TaskError
from hanse.wire.messages.sites import RunWork, Work

OTHERS = [*PEERS[:2], member("essen")]


def questions(cell: CellSite) -> Questions:
    return Questions(cell.site.directory / "questions")


def answered(cell: CellSite) -> None:
    """A person's yes, as the command records it while the agent runs."""
    (question,) = questions(cell).all()
    with_reason = question.permission("kim", "essen and delft have agreed by telephone")
    journal = cell.site.journal()
    journal.append(with_reason)
    journal.close()
    questions(cell).drop(question.id)


async def until_asked(cell: CellSite) -> None:
    async with asyncio.timeout(30):
        while not questions(cell).all():
            await asyncio.sleep(0.01)


@pytest.fixture
def other_cell(cell: CellSite, monkeypatch: pytest.MonkeyPatch) -> CellSite:
    """A site that has taken part in one sum, and is asked for another one with another member."""
    cell.exchange()
    monkeypatch.setattr(cells, "PEERS", OTHERS)
    names = [peer.name for peer in OTHERS]
    cell.settings = checked(*names)
    told = {"all": (*sorted(names), OWN)}
    cell.work = published(cell.site, cell.run, cell.settings, run_id="demo-2", cells=told)
    cell.upstream.opened.clear()
    return cell


def test_the_same_cell_in_another_run_is_not_asked_about(cell: CellSite) -> None:
    cell.exchange()
    cell.work = published(cell.site, cell.run, run_id="demo-2", rounds=7)
    cell.exchange()

    assert len(cell.upstream.opened) == 2


def test_another_cell_over_the_same_data_waits_for_a_person(other_cell: CellSite) -> None:
    cell = other_cell

    async def asked_and_answered() -> None:
        cell.upstream.new_exchange()
        seeing = asyncio.create_task(cell.see_through())
        await until_asked(cell)
        await asyncio.sleep(0.05)
        assert cell.upstream.delivered.keys() == delivered
        answered(cell)
        await seeing

    delivered = set(cell.upstream.delivered)
    cell.run(asked_and_answered())

    assert len(cell.upstream.opened) == 1
    agreed = [read for read in cell.records if isinstance(read, CellsAgreed)]
    assert [overlap.disclosed for overlap in agreed[0].overlaps] == [("delft", "essen")]
    assert questions(cell).all() == ()


def test_the_question_names_who_may_be_disclosed_and_says_how_to_answer(
    other_cell: CellSite, caplog: pytest.LogCaptureFixture
) -> None:
    cell = other_cell

    async def asked() -> None:
        cell.upstream.new_exchange()
        seeing = asyncio.create_task(cell.see_through())
        await until_asked(cell)
        await asyncio.sleep(0.05)
        cell.upstream.post(None)
        await seeing

    cell.run(asked())

    (question,) = questions(cell).all()
    assert isinstance(question, CellsQuestion)
    assert "may be disclosed, since sums that this site cannot see" in question.text
    assert question.text.splitlines()[0].endswith("delft, essen.")
    assert f"hanse collaborator permit {question.id} --reason" in caplog.text
    assert not any(isinstance(read, RosterAccepted) for read in cell.records[-2:])


def test_an_answer_that_came_before_the_next_exchange_is_not_asked_for_again(other_cell: CellSite) -> None:
    cell = other_cell

    async def unanswered() -> None:
        cell.upstream.new_exchange()
        seeing = asyncio.create_task(cell.see_through())
        await until_asked(cell)
        cell.upstream.post(None)
        await seeing

    cell.run(unanswered())
    answered(cell)
    cell.exchange(2)

    assert len(cell.upstream.opened) == 1
    assert questions(cell).all() == ()


def test_another_key_under_an_old_name_is_another_member(
    cell: CellSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell.exchange()
    monkeypatch.setattr(cells, "PEERS", [*PEERS[:2], member("delft", "its next key")])
    cell.settings = checked()
    cell.work = published(cell.site, cell.run, cell.settings, run_id="demo-2", rounds=7)
    cell.upstream.opened.clear()

    async def asked() -> None:
        cell.upstream.new_exchange()
        seeing = asyncio.create_task(cell.see_through())
        await until_asked(cell)
        cell.upstream.post(None)
        await seeing

    cell.run(asked())

    assert cell.upstream.opened == []


def test_other_data_are_not_held_against_earlier_sums(
    cell: CellSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {name: str(tmp_path / name) for name in ("hearts", "lungs")}
    for path in data.values():
        Path(path).write_text("")
    cell.settings = checked() | {"data": data}
    cell.work = published(cell.site, cell.run, cell.settings, data=["hearts"])
    cell.exchange()
    monkeypatch.setattr(cells, "PEERS", OTHERS)
    names = [peer.name for peer in OTHERS]
    told = {"all": (*sorted(names), OWN)}
    cell.settings = checked(*names) | {"data": data}
    cell.work = published(cell.site, cell.run, cell.settings, run_id="demo-2", cells=told, data=["lungs"])
    cell.exchange()

    assert len(cell.upstream.opened) == 2


def test_the_same_file_under_another_name_is_the_same_data(
    cell: CellSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "table").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "table")
    data = {"hearts": str(tmp_path / "table"), "lungs": str(tmp_path / "link")}
    cell.settings = checked() | {"data": data}
    cell.work = published(cell.site, cell.run, cell.settings, data=["hearts"])
    cell.exchange()
    monkeypatch.setattr(cells, "PEERS", OTHERS)
    names = [peer.name for peer in OTHERS]
    told = {"all": (*sorted(names), OWN)}
    cell.settings = checked(*names) | {"data": data}
    cell.work = published(cell.site, cell.run, cell.settings, run_id="demo-2", cells=told, data=["lungs"])

    async def asked() -> None:
        cell.upstream.new_exchange()
        seeing = asyncio.create_task(cell.see_through())
        await until_asked(cell)
        cell.upstream.post(None)
        await seeing

    cell.run(asked())

    assert len(cell.upstream.opened) == 1


def test_a_yes_for_one_data_source_says_nothing_of_another(
    cell: CellSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {name: str(tmp_path / name) for name in ("hearts", "lungs")}
    for path in data.values():
        Path(path).write_text("")

    def begin(number: int, peers: list[Member], source: str) -> None:
        monkeypatch.setattr(cells, "PEERS", peers)
        names = sorted(peer.name for peer in peers)
        cell.settings = checked(*names) | {"data": data}
        told = {"all": (*names, OWN)}
        cell.work = published(
            cell.site, cell.run, cell.settings, run_id=f"demo-{number}", cells=told, data=[source]
        )
        cell.upstream.new_exchange()

    async def asked(*, permitted: bool) -> None:
        seeing = asyncio.create_task(cell.see_through())
        await until_asked(cell)
        if permitted:
            answered(cell)
        else:
            cell.upstream.post(None)
        await seeing

    begin(1, PEERS, "hearts")
    cell.run(cell.see_through())
    begin(2, OTHERS, "hearts")
    cell.run(asked(permitted=True))
    begin(3, PEERS, "lungs")
    cell.run(cell.see_through())
    begin(4, OTHERS, "lungs")
    cell.run(asked(permitted=False))

    assert len(cell.upstream.opened) == 3


def test_data_cannot_be_recognised_where_the_salt_is_lost(cell: CellSite, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("")
    cell.settings = checked() | {"data": {"hearts": str(tmp_path / "table")}}
    cell.work = published(cell.site, cell.run, cell.settings, data=["hearts"])
    cell.exchange(1)
    (cell.site.directory / "sums.salt").unlink()
    cell.exchange(2)

    assert cell.outcome.reason == "task train failed (policy); the site's own log says more"


def fail(cell: CellSite, exchange: int) -> None:
    cell.exchange(exchange, workers=FakeWorkers(TaskError("patient 41")))


def test_after_the_third_failure_no_task_is_performed_until_a_person_permits_it(cell: CellSite) -> None:
    for exchange in (1, 2, 3):
        fail(cell, exchange)
    workers = FakeWorkers()

    async def asked_and_permitted() -> None:
        cell.upstream.new_exchange()
        seeing = asyncio.create_task(cell.see_through(4, workers=workers))
        await until_asked(cell)
        await asyncio.sleep(0.05)
        assert workers.orders == []
        (question,) = questions(cell).all()
        assert isinstance(question, FailuresQuestion)
        answered(cell)
        await seeing

    cell.run(asked_and_permitted())

    assert [order.exchange for order in workers.orders] == [4]
    assert len(cell.upstream.opened) == 1


def test_failures_of_other_runs_of_the_plan_count_too(cell: CellSite) -> None:
    for number in (1, 2, 3):
        cell.work = published(cell.site, cell.run, run_id=f"demo-{number}")
        fail(cell, 1)
    cell.work = published(cell.site, cell.run, run_id="demo-4")
    workers = FakeWorkers()

    async def asked() -> None:
        cell.upstream.new_exchange()
        seeing = asyncio.create_task(cell.see_through(workers=workers))
        await until_asked(cell)
        cell.upstream.post(None)
        await seeing

    cell.run(asked())

    assert workers.orders == []


def test_no_more_tasks_are_performed_at_once_than_may_fail(cell: CellSite) -> None:
    works = [published(cell.site, cell.run, run_id=f"demo-{number}") for number in range(1, 6)]
    begun: list[str] = []

    class Failing(FakeWorkers):
        async def carry_out(self, run_id: str, *told: Any) -> TaskReport:
            begun.append(run_id)
            await asyncio.sleep(0.05)
            raise TaskError("patient 41")

    async def all_at_once() -> None:
        agent, assigned = cell.agent(Failing()), cell.assignment()

        def post(*listed: RunWork) -> None:
            runs = tuple(work.model_copy(update={"assignments": (assigned,)}) for work in listed)
            agent.board.post(Work(version="1", runs=runs))

        post(*works)
        seeing = asyncio.gather(*(agent.run(work, assigned) for work in works))
        await until_asked(cell)
        post()
        await seeing

    cell.run(all_at_once())

    assert len({*begun}) == 3


def test_a_task_that_waits_for_permission_ends_with_its_exchange(cell: CellSite) -> None:
    for exchange in (1, 2, 3):
        fail(cell, exchange)
    workers = FakeWorkers()

    async def asked() -> None:
        cell.upstream.new_exchange()
        seeing = asyncio.create_task(cell.see_through(4, workers=workers))
        await until_asked(cell)
        cell.upstream.post(None)
        await seeing

    cell.run(asked())

    assert workers.orders == []
    cell.run(cell.agent().end_run(cell.work.run_id))
    assert questions(cell).all() == ()


def test_an_exchange_that_is_asked_again_counts_as_one_failure(cell: CellSite) -> None:
    for _ in range(4):
        fail(cell, 1)

    assert cell.site.journal().open().sums.failures == 1


def test_only_failures_that_the_data_may_have_caused_count(cell: CellSite) -> None:
    cell.settings = checked("berlin")
    for exchange in (1, 2, 3, 4):
        fail(cell, exchange)

    said = [read.of_data for read in cell.records if isinstance(read, FailureReleased)]
    assert said == [False] * 4


def test_a_question_is_found_by_the_beginning_of_its_name(tmp_path: Path) -> None:
    kept = Questions(tmp_path / "questions")
    asked = FailuresQuestion(run_id="r", asked_ms=5, plan_digest="1" * 64, failures=3)
    kept.ask(asked)

    assert kept.find(asked.id[:3]) == asked
    with pytest.raises(ConfigError, match="0 open questions begin with 'zz'"):
        kept.find("zz")


def test_a_question_that_is_damaged_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "5.json").write_text("{")

    assert Questions(tmp_path).all() == ()
