"""A masked task from its question to the sum of its cell."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.unit.collaborator.aggregators import EVALUATE
from tests.unit.collaborator.sums.cells import MASKED_TRAIN, CellSite, checked, privacy, published
from tests.unit.collaborator.test_tasks import FakeWorkers

from hanse.collaborator.task_inputs import TaskInputs
from hanse.collaborator.task_worker.protocol import TaskReport
from hanse.core.journal.site_records import ResultReleased
from hanse.core.journal.sum_records import ReadyReleased, SumPrepared
from hanse.errors import AttemptError
from hanse.privacy.secagg import site as states
from hanse.wire.messages.sums import SumAsked


def test_a_result_leaves_masked_and_the_sum_of_the_cell_is_that_of_the_vectors(cell: CellSite) -> None:
    cell.exchange()

    (total,) = cell.upstream.opened
    assert np.array_equal(total, cell.q())
    assert cell.kinds == ["SumPrepared", "ReadyReleased", "RosterAccepted", "ResultReleased"]
    assert (cell.outcome.outcome, cell.outcome.num_examples, cell.outcome.metrics) == ("done", 0, {})


def test_what_leaves_is_the_masked_vector_and_not_the_update(cell: CellSite) -> None:
    cell.exchange()

    place, update = cell.outcome.secure_sum, cell.outcome.update
    assert place is not None
    assert update is not None
    assert set(cell.upstream.delivered) == {update.digest}
    assert cell.upstream.delivered[update.digest] == (cell.folder() / "1.y").read_bytes()
    assert not np.array_equal(cell.upstream.update(cell.outcome)["masked"], cell.q())


def test_the_journal_has_the_place_of_the_masked_vector_and_no_number_of_examples(cell: CellSite) -> None:
    cell.exchange()

    (released,) = [read for read in cell.records if isinstance(read, ResultReleased)]
    assert (released.secure_sum, released.num_examples, released.metrics) == (cell.outcome.secure_sum, 0, {})
    assert cell.outcome.journal is not None
    assert cell.outcome.journal.sequence == len(cell.records)


def test_neither_the_digest_of_the_vector_nor_a_path_is_in_the_journal(
    cell: CellSite, tmp_path: Path
) -> None:
    data = tmp_path / "cohort.csv"
    data.write_text("age\n41\n")
    cell.settings = checked() | {"data": {"cohort": data}}
    cell.work = published(cell.site, cell.run, cell.settings, data=["cohort"])
    cell.exchange()

    facts = json.loads((cell.folder() / "q.json").read_bytes())
    (prepared,) = [read for read in cell.records if isinstance(read, SumPrepared)]
    assert prepared.data == ("cohort",)
    assert len(prepared.paths) == 1
    for written in cell.site.directory.glob("journal.sqlite*"):
        for secret in ("cohort.csv", facts["salt"], facts["digest"][:64]):
            assert secret.encode() not in written.read_bytes()


def test_the_files_are_for_their_owner_only(cell: CellSite) -> None:
    cell.exchange()

    assert {path.name for path in cell.folder().iterdir()} == {"q", "q.json", "1.y"}
    assert {path.stat().st_mode & 0o777 for path in cell.folder().iterdir()} == {0o600}
    assert [path.stat().st_mode & 0o777 for path in (cell.folder(), cell.folder().parent)] == [0o700, 0o700]


def test_no_private_key_is_on_the_disk_or_in_the_log(
    cell: CellSite, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []

    def remembered(raw: bytes) -> X25519PrivateKey:
        made.append(raw)
        return X25519PrivateKey.from_private_bytes(raw)

    monkeypatch.setattr(states, "private_key", remembered)
    caplog.set_level(logging.DEBUG)
    cell.exchange()

    key = made[0]  # the others are those of its peers
    for path in cell.site.directory.rglob("*"):
        if path.is_file():
            assert key not in path.read_bytes()
            assert key.hex().encode() not in path.read_bytes()
    assert key.hex() not in caplog.text


def test_nothing_beside_the_masked_vector_depends_on_the_data(cell: CellSite) -> None:
    seen = []
    for exchange, times in ((1, 1), (2, 1000)):
        update = {"weight": np.full((2, 3), 0.001 * times, np.float32), "steps": np.array(times % 7)}
        report = TaskReport(num_examples=2 * times, metrics={"loss": 0.1 * times})
        cell.exchange(exchange, workers=FakeWorkers(report, update=update))
        said, ready = cell.outcome.model_dump(), dict(cell.upstream.readies[-1].body)
        for name in ("journal", "exchange", "round_number", "counted", "secure_sum"):  # of the exchange
            said.pop(name, None)
        for name in ("exchange", "context", "public", "commitment"):
            del ready[name]
        del said["update"]["digest"]
        seen.append((said, ready))

    assert seen[0] == seen[1]
    assert seen[0][0]["metrics"] == {}
    assert seen[0][0]["num_examples"] == 0


def test_progress_has_no_figures(cell: CellSite) -> None:
    cell.context_changes = {"first_sign_s": 0.0}
    cell.exchange()

    assert set(cell.upstream.progressed) <= {1}


def test_beats_have_an_even_pace_from_before_the_task_begins(cell: CellSite) -> None:
    seen = []

    class Watched(FakeWorkers):
        async def carry_out(self, *told: Any) -> TaskReport:
            seen.append(told[-1].even)
            return await super().carry_out(*told)

    cell.exchange(workers=Watched())

    assert seen == [True]


def test_ready_leaves_no_sooner_after_the_task_began_than_the_plan_says(cell: CellSite) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        assert not cell.upstream.readies

    cell.work = published(cell.site, cell.run, privacy=privacy(ready_after="10m"))
    cell.context_changes = {"sleep": sleep}
    cell.exchange()

    assert waited == [pytest.approx(600, abs=60)]
    assert len(cell.upstream.readies) == 1


def test_ready_waits_as_long_where_the_model_was_long_in_coming(
    cell: CellSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    fetch = TaskInputs.model

    async def fetched_late(inputs: TaskInputs) -> Path | None:
        # The operator of the aggregator decides how long it takes.
        loop = asyncio.get_running_loop()
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + 3600.0)
        return await fetch(inputs)

    monkeypatch.setattr(TaskInputs, "model", fetched_late)
    cell.work = published(cell.site, cell.run, privacy=privacy(ready_after="10m"))
    cell.context_changes = {"sleep": sleep}
    cell.exchange()

    assert waited == [pytest.approx(600, abs=60)]


def test_an_attempt_that_another_member_begins_masks_the_same_vector_again(cell: CellSite) -> None:
    workers = FakeWorkers()

    def begun_again(outcome: Any) -> None:
        cell.upstream.at_result = None
        cell.upstream.post(SumAsked(cell="all", attempt=2))

    cell.upstream.at_result = begun_again
    cell.exchange(workers=workers)

    (total,) = cell.upstream.opened
    assert np.array_equal(total, cell.q())
    assert len(workers.orders) == 1
    assert [read.attempt for read in cell.records if isinstance(read, ReadyReleased)] == [1, 2]
    masked = [read.update for read in cell.records if isinstance(read, ResultReleased)]
    assert len({update.digest for update in masked if update is not None}) == 2
    assert not (cell.folder() / "1.y").exists()


def test_a_number_that_is_used_up_is_followed_by_the_next(cell: CellSite) -> None:
    cell.upstream.fail("sum_ready", AttemptError("attempt 1 is over"))
    cell.exchange()

    assert [ready.body["attempt"] for ready in cell.upstream.readies] == [2]
    assert len(cell.upstream.opened) == 1


def test_sixteen_attempts_are_the_most(cell: CellSite) -> None:
    cell.upstream.fail("sum_ready", *[AttemptError("that is over")] * 20)
    cell.exchange()

    assert cell.outcome.outcome == "failed"
    assert cell.outcome.reason == "task train failed (attempts); the site's own log says more"
    numbers = [read.attempt for read in cell.records if isinstance(read, ReadyReleased)]
    assert numbers == list(range(1, 17))


def test_the_vector_goes_when_a_later_exchange_is_prepared(cell: CellSite) -> None:
    cell.exchange(1)
    cell.exchange(2)

    assert [path.name for path in cell.folder().parent.iterdir()] == ["2"]


def test_the_vector_stays_when_the_run_ends_which_may_be_resumed(cell: CellSite) -> None:
    cell.exchange()
    cell.run(cell.agent().end_run(cell.work.run_id))

    assert (cell.folder() / "q").exists()


def test_the_plan_decides_and_not_the_assignment(cell: CellSite) -> None:
    async def unasked() -> None:
        agent = cell.agent()
        waiting = cell.run_in_background(agent)
        await cell.until_prepared()
        assert cell.upstream.outcomes == []
        assert cell.upstream.delivered == {}
        cell.upstream.post(SumAsked(cell="all", attempt=1))
        await waiting

    cell.upstream.new_exchange()
    cell.run(unasked())

    assert len(cell.upstream.opened) == 1


def test_a_task_that_is_not_masked_by_the_plan_is_not_performed_for_a_sum(cell: CellSite) -> None:
    tasks = {"train": MASKED_TRAIN, "evaluate": EVALUATE}
    cell.work = published(cell.site, cell.run, tasks=tasks, privacy=privacy(in_the_open=["evaluate"]))
    cell.exchange(task="evaluate")

    assert cell.outcome.outcome == "failed"
    assert cell.upstream.readies == []
