"""Which blobs stay, and which go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.blobs import put
from tests.unit.core.run.masked_runs import MaskedDriver
from tests.unit.core.run.runs import Driver

from hanse.aggregator.blobs.retention import MOST_CLAIMS, KeptModels, Retention, references
from hanse.core.run.lifecycle import AnswerPlan, Finish, Invite, Leave, Resume, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.run import Run as RunState
from hanse.core.run.tasks import AcceptResult
from hanse.core.run.timing import Tick
from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Party, Role
from hanse.core.values.model_ref import ModelRef
from hanse.errors import PolicyError, StorageError
from hanse.storage.base import ABANDONED_MS
from hanse.storage.blobs_file import FileBlobStore

Run = Callable[[Any], Any]

A = Party("north", Role.COLLABORATOR, "a")
OPERATOR = Party("north", Role.OPERATOR, "operator")


class Shelf:
    """A blob store, the runs that use it, and their retention."""

    def __init__(self, directory: Path, *drivers: Driver, kept: KeptModels | None = None) -> None:
        self.blobs = FileBlobStore(directory)
        self.drivers = drivers
        self.now_ms = 0
        self.retention = Retention(self.blobs, self.runs, lambda: self.now_ms, kept or KeptModels())

    def runs(self) -> list[RunState]:
        return [driver.state for driver in self.drivers]

    def put(self, *names: str) -> list[str]:
        return [put(self.blobs, name.encode()) for name in names]

    def left(self, *names: str) -> str:
        return "".join(name for name in names if self.blobs.has(sha256(name.encode())))


def digest(name: str) -> str:
    return sha256(name.encode())


def model(name: str) -> ModelRef:
    return ModelRef(digest(name))


def in_round(number: int = 1, **changes: object) -> Driver:
    """A run whose first model is M, asked to train from it."""
    driver = Driver("ab", **changes).started()
    for command in (OpenRound(0), Commit(0, model("M")), OpenRound(number)):
        driver.do(command)
    driver.do(OpenExchange(1, 0, "train", model("M")))
    return driver


def answer(driver: Driver, **updates: str) -> None:
    for site, name in updates.items():
        driver.do(AcceptResult(driver.state.last_exchange, site, 1, {}, digest(name)))


class TestReferences:
    def test_the_plan_and_its_code_are_always_needed(self) -> None:
        driver = in_round()
        driver.do(Finish())

        assert {driver.state.plan_digest, "0" * 64} <= references(driver.state)

    def test_an_open_round_needs_its_model_and_its_updates(self) -> None:
        driver = in_round()
        answer(driver, a="A")

        assert {digest("M"), digest("A")} <= references(driver.state)

    def test_what_a_resumed_round_may_ask_again_is_needed_until_the_commit(self) -> None:
        driver = in_round(cohort={"minimum": 2, "approvals": 500})
        answer(driver, a="A")
        driver.do(Leave("b", "removed"))
        driver.do(Resume("operator"))  # and waits for another site
        driver.do(Invite("c"))
        driver.do(AnswerPlan("c", True))
        assert not driver.state.exchanges

        assert {digest("M"), digest("A")} <= references(driver.state)
        driver.do(OpenRound(1))
        driver.do(Commit(1, model("N")))
        assert digest("A") not in references(driver.state)

    def test_a_committed_round_needs_its_model_and_state_only(self) -> None:
        driver = in_round()
        answer(driver, a="A", b="B")
        driver.do(Commit(1, model("N"), {}, digest("S")))

        assert references(driver.state) - {driver.state.plan_digest, "0" * 64} == {digest("N"), digest("S")}

    def test_the_best_model_is_kept_beside_the_last(self) -> None:
        measured = {"train": {"discloses": {"update": "individual", "metrics": ["loss"]}}}
        driver = in_round(keep_best={"metric": "loss", "mode": "min"}, tasks=measured)
        driver.do(Commit(1, model("N"), {"loss": 0.1}))
        driver.do(OpenRound(2))
        driver.do(Commit(2, model("O"), {"loss": 0.2}))

        assert {digest("N"), digest("O")} <= references(driver.state)

    def test_a_finished_run_needs_no_state_but_a_stopped_one_does(self) -> None:
        finished, stopped = in_round(), in_round()
        for driver, end in ((finished, Finish()), (stopped, Stop("operator"))):
            driver.do(Commit(1, model("N"), {}, digest("S")))
            driver.do(end)

        assert digest("S") not in references(finished.state)
        assert digest("S") in references(stopped.state)


class TestCollect:
    async def committed(self, shelf: Shelf) -> None:
        """Commit the round of the first run, and collect what it leaves."""
        driver = shelf.drivers[0]
        before = driver.state
        driver.do(Commit(1, model("N")))
        await shelf.retention.collect(references(before))

    @pytest.fixture
    def shelf(self, tmp_path: Path) -> Shelf:
        shelf = Shelf(tmp_path, in_round())
        shelf.put("M", "A", "B", "N")
        answer(shelf.drivers[0], a="A", b="B")
        return shelf

    def test_a_committed_rounds_updates_and_the_model_before_go(self, shelf: Shelf, run: Run) -> None:
        run(self.committed(shelf))

        assert shelf.left("M", "A", "B", "N") == "N"

    def test_what_another_run_needs_stays(self, shelf: Shelf, run: Run) -> None:
        other = in_round()
        answer(other, a="B")
        shelf.drivers = (*shelf.drivers, other)

        run(self.committed(shelf))

        assert shelf.left("M", "A", "B", "N") == "MBN"

    def test_what_a_site_is_bringing_for_another_run_stays(self, shelf: Shelf, run: Run) -> None:
        other = Driver("a").asked()
        other.run = replace(other.state, run_id="demo-2")
        shelf.drivers = (*shelf.drivers, other)
        shelf.retention.claim(A, digest("A"))

        run(self.committed(shelf))

        assert shelf.left("A", "B") == "A"

    def test_what_an_operator_brings_stays_until_the_plan_is_submitted(self, shelf: Shelf, run: Run) -> None:
        shelf.retention.claim(OPERATOR, digest("M"))
        run(self.committed(shelf))
        assert shelf.left("M") == "M"

        shelf.retention.release(OPERATOR)
        run(shelf.retention.collect([digest("M")]))
        assert shelf.left("M") == ""

    def test_an_upload_that_came_too_late_goes_with_its_round(self, shelf: Shelf, run: Run) -> None:
        driver = Driver("ab", cohort={"quorum": 0.5, "idle_limit": 1}).started()
        shelf.drivers = (driver,)
        for command in (OpenRound(0), Commit(0, model("M")), OpenRound(1)):
            driver.do(command)
        driver.do(OpenExchange(1, 0, "train", model("M")))
        shelf.retention.claim(A, digest("A"))
        answer(driver, b="B")
        driver.do(Tick(), after_s=2)

        run(self.committed(shelf))

        assert shelf.left("A", "B", "N") == "N"

    def test_many_blobs_go_in_turns(self, shelf: Shelf, run: Run) -> None:
        names = [f"u{number}" for number in range(100)]

        run(shelf.retention.collect(shelf.put(*names)))

        assert shelf.left(*names) == ""

    def test_a_blob_that_cannot_be_deleted_stops_nothing(
        self, shelf: Shelf, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def delete(_digest: str) -> None:
            raise StorageError("the disk is mounted read-only")

        monkeypatch.setattr(shelf.blobs, "delete", delete)
        with caplog.at_level(logging.WARNING):
            run(self.committed(shelf))

        assert "read-only" in caplog.text


class TestClaims:
    def test_a_site_may_bring_so_much_for_a_task_and_no_more(self, tmp_path: Path) -> None:
        shelf = Shelf(tmp_path, in_round())
        for number in range(MOST_CLAIMS[Role.COLLABORATOR]):
            shelf.retention.claim(A, digest(str(number)))

        shelf.retention.claim(A, digest("0"))
        with pytest.raises(PolicyError, match="used none of them"):
            shelf.retention.claim(A, digest("one more"))

    def test_the_count_begins_anew_with_the_next_task(self, tmp_path: Path) -> None:
        driver = in_round()
        shelf = Shelf(tmp_path, driver)
        for number in range(MOST_CLAIMS[Role.COLLABORATOR]):
            shelf.retention.claim(A, digest(str(number)))
        answer(driver, a="A", b="B")
        driver.do(OpenExchange(1, 1, "evaluate", model("M")))

        shelf.retention.claim(A, digest("one more"))

    def test_a_site_that_is_asked_nothing_claims_nothing(self, tmp_path: Path, run: Run) -> None:
        shelf = Shelf(tmp_path)
        shelf.put("A")

        for number in range(100):
            shelf.retention.claim(A, digest(str(number)))
        shelf.retention.claim(A, digest("A"))
        run(shelf.retention.collect([digest("A")]))

        assert shelf.left("A") == ""


def test_what_an_earlier_aggregator_left_for_nothing_goes_at_the_start(tmp_path: Path, run: Run) -> None:
    driver = Driver("ab").started()
    shelf = Shelf(tmp_path, driver)
    shelf.put("M", "X")
    for command in (OpenRound(0), Commit(0, model("M"))):
        driver.do(command)

    shelf.retention.take_stock()
    run(shelf.retention.collect(()))

    assert shelf.left("M", "X") == "M"


def test_what_may_have_been_brought_for_an_open_task_stays_until_that_is_over(
    tmp_path: Path, run: Run
) -> None:
    driver = in_round()
    shelf = Shelf(tmp_path, driver)
    shelf.put("M", "X")

    shelf.retention.take_stock()
    run(shelf.retention.collect(()))
    assert shelf.left("M", "X") == "MX"

    answer(driver, a="A", b="B")
    run(shelf.retention.collect(()))
    assert shelf.left("M", "X") == "M"


def test_vectors_of_an_earlier_attempt_go_with_their_exchange_also_after_a_restart(
    tmp_path: Path, run: Run
) -> None:
    driver = MaskedDriver()
    shelf = Shelf(tmp_path, driver)
    driver.ready("abc")
    driver.masked("a", *shelf.put("X"))

    shelf.retention.take_stock()  # as a service does that begins
    driver.ready("c", 2)
    driver.complete("ab", 2)
    driver.masked("c")
    driver.complete("def")
    run(shelf.retention.collect(()))

    assert shelf.left("X") == ""


def test_an_upload_that_ends_after_its_claim_goes_at_the_next_occasion(tmp_path: Path, run: Run) -> None:
    driver = in_round()
    shelf = Shelf(tmp_path, driver)
    shelf.retention.claim(A, digest("X"))
    answer(driver, a="A", b="B")
    run(shelf.retention.collect(()))
    shelf.put("X")

    run(shelf.retention.collect(()))

    assert shelf.left("X") == ""


def test_an_upload_that_was_cut_off_is_kept_for_a_day(tmp_path: Path, run: Run) -> None:
    shelf = Shelf(tmp_path, Driver("ab").started())
    with closing(shelf.blobs.write(digest("X"), "a", 100)) as writer:
        writer.write(b"the first bytes")
    upload = next((tmp_path / "uploads").iterdir())
    began_ms = round(upload.stat().st_mtime * 1000)

    def kept() -> int:
        run(collected(shelf))
        return shelf.blobs.partial_size(digest("X"), "a")

    shelf.now_ms = began_ms + ABANDONED_MS - 1_000
    assert kept() == 15
    shelf.now_ms = began_ms + ABANDONED_MS + 1_000
    assert kept() == 0


async def collected(shelf: Shelf) -> None:
    await shelf.retention.collect(())
    await shelf.retention.settled()


def test_models_of_a_run_that_ended_long_ago_go_where_the_settings_say_so(tmp_path: Path, run: Run) -> None:
    ended, going = in_round(), in_round()
    answer(ended, a="U")
    ended.do(Stop("operator"), after_s=100)
    shelf = Shelf(tmp_path, ended, kept=KeptModels(keep_s=60))
    shelf.put("M", "U")
    code = ended.state.manifest.files[0].sha256

    async def expired_at(now_s: int) -> str:
        shelf.now_ms = now_s * 1000
        await shelf.retention.collect([digest(name) for name in "MU"])
        return shelf.left("M", "U")

    assert run(expired_at(160)) == "MU"
    assert not shelf.retention.expired(ended.state)
    assert run(expired_at(161)) == ""
    assert shelf.retention.expired(ended.state)
    assert code in KeptModels(keep_s=60).references(ended.state, 10**9)
    assert not KeptModels(keep_s=60).expired(going.state, 10**9)


def test_a_resumed_run_has_not_ended(tmp_path: Path) -> None:
    driver = in_round()
    driver.do(Stop("operator"))
    driver.do(Resume("operator"))

    assert not KeptModels(keep_s=1).expired(driver.state, 10**9)
