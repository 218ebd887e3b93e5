"""`hanse.connect`: what is asked of an aggregator, and what is refused before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.core.plan.plans import manifest

import hanse
from hanse.config.settings import OPERATOR_FILE
from hanse.core.run.events import Event, event_body
from hanse.core.run.round_events import RoundCommitted
from hanse.core.run.run_events import RunFinished
from hanse.errors import ConfigError, RunError, UpdateError
from hanse.interactive.operator import Operator
from hanse.wire.messages.runs import EventsReply, JournalRecord, Runs, RunStatus
from hanse.wire.tensors import encode

PLAN = manifest()
RUN = RunStatus(
    run_id="xrays-1",
    plan_name="xrays",
    plan_digest=PLAN.digest,
    results={"total": "b" * 64},
    phase="running",
    rounds=3,
    rounds_committed=1,
    submitted_by="operator",
    submitted_ms=0,
)


def record(sequence: int, event: Event) -> JournalRecord:
    return JournalRecord(
        stream="xrays-1",
        sequence=sequence,
        time_ms=0,
        kind=event.kind,
        body=event_body(event),
        previous="",
        digest="",
    )


RECORDS = (
    record(1, RoundCommitted(round_number=1, model="a" * 64, metrics={"loss": 0.5})),
    record(2, RunFinished(rounds=1, model=None)),
)


class Aggregator:
    """Stands for the client of a running aggregator."""

    def __init__(self) -> None:
        self.end: dict[str, Any] = {"phase": "finished"}
        self.blobs = {
            PLAN.digest: PLAN.to_bytes(),
            RUN.results["total"]: encode({"@total/n": np.array([7])}),
        }

    async def runs(self) -> Runs:
        return Runs(runs=(RUN,))

    async def run(self, run_id: str) -> RunStatus:
        return RUN.model_copy(update={"run_id": run_id})

    async def download(self, digest: str, path: Path) -> None:
        path.write_bytes(self.blobs[digest])

    async def stop(self, run_id: str, reason: str) -> RunStatus:
        return RUN.model_copy(update={"phase": "stopped", "reason": reason})

    async def resume(self, run_id: str) -> RunStatus:
        return RUN

    async def events(self, run_id: str, after: int) -> EventsReply:
        return EventsReply(records=RECORDS[after:], status=RUN)

    async def follow(self, run_id: str) -> AsyncIterator[EventsReply]:
        yield EventsReply(records=RECORDS[:1], status=RUN.model_copy(update={"held": True}))
        yield EventsReply(records=RECORDS[1:], status=RUN.model_copy(update=self.end))


@pytest.fixture
def aggregator(monkeypatch: pytest.MonkeyPatch) -> Aggregator:
    found = Aggregator()

    @asynccontextmanager
    async def client(directory: Path, **_: object) -> AsyncIterator[Aggregator]:
        yield found

    monkeypatch.setattr("hanse.interactive.operator.control_client", client)
    return found


@pytest.fixture
def operator(tmp_path: Path, aggregator: Aggregator) -> Operator:
    (tmp_path / OPERATOR_FILE).touch()
    return hanse.connect(tmp_path)


@pytest.mark.parametrize("folder", [None, 3, b"federation", "a\0b"])
def test_what_is_not_a_path_is_refused(folder: Any) -> None:
    with pytest.raises(ConfigError, match=r"hanse\.connect: "):
        hanse.connect(folder)


def test_a_folder_without_an_operator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"neither a federation nor an operator .*hanse\.connect the folder"
    ):
        hanse.connect(tmp_path)


def test_runs_are_shown_as_a_table(operator: Operator) -> None:
    assert repr(operator.runs()).splitlines()[1].split()[:4] == ["xrays-1", "xrays", "running", "1/3"]


def test_a_run_is_named_by_its_status_or_its_name(operator: Operator) -> None:
    assert operator.status(operator.runs()[0]) == operator.status("xrays-1")


def test_a_run_is_stopped_and_resumed(operator: Operator) -> None:
    assert operator.stop("xrays-1", "enough").reason == "enough"
    assert operator.resume("xrays-1").phase == "running"


def test_calls_are_made_inside_of_a_running_event_loop(operator: Operator) -> None:
    async def cell() -> str:
        return operator.watch("xrays-1").phase

    assert asyncio.run(cell()) == "finished"


def test_a_watch_warns_of_an_aggregator_that_waits_for_an_operator(
    operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    operator.watch("xrays-1")

    assert "operator" in caplog.text


def test_a_run_that_does_not_finish_is_an_error_with_the_call_that_resumes_it(
    operator: Operator, aggregator: Aggregator
) -> None:
    aggregator.end = {"phase": "stopped", "reason": "enough"}

    with pytest.raises(RunError, match=r"was stopped: enough\. `operator\.resume\('xrays-1'\)` resumes"):
        operator.watch("xrays-1")


def test_a_run_is_drawn_from_its_journal(operator: Operator) -> None:
    pytest.importorskip("matplotlib")

    assert [axis.get_title() for axis in operator.plot("xrays-1", "curves").axes] == ["loss"]


def test_results_are_arrays_by_name_and_the_callers_own(operator: Operator) -> None:
    results = operator.results("xrays-1")

    results["total"]["n"] += 1
    assert results["total"]["n"].tolist() == [8]


def test_a_table_of_results_is_a_data_frame(operator: Operator) -> None:
    assert operator.table("xrays-1", "total")["n"].tolist() == [7]


def test_a_file_with_another_result_is_refused(operator: Operator, aggregator: Aggregator) -> None:
    aggregator.blobs["b" * 64] = encode({"@other": np.array([7])})

    with pytest.raises(UpdateError, match="what came as the result 'total' is another one"):
        operator.results("xrays-1")


def test_a_function_is_not_submitted(operator: Operator) -> None:
    with pytest.raises(ConfigError, match="a function is not a plan: sites run the code that a plan lists"):
        operator.submit(lambda site: None)  # type: ignore[arg-type]


def test_no_call_is_made_after_the_end(operator: Operator) -> None:
    with operator:
        pass

    with pytest.raises(ConfigError, match=r"is closed\. Call hanse\.connect again"):
        operator.runs()
    assert repr(operator).endswith(", closed>")
