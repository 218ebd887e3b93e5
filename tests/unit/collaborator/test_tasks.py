import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fake_sites import until
from tests.unit.collaborator.aggregators import MODEL, TRAIN, Site, manifest_of, tasks_of

from hanse.collaborator import releases
from hanse.collaborator.progress import Progress
from hanse.collaborator.review import Reviewer
from hanse.collaborator.rosters import FILE
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.site_journal import SiteJournal, records_of
from hanse.collaborator.task_worker.protocol import Order, TaskReport
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import JournalHead, SiteRecord
from hanse.core.plan.manifest import Manifest
from hanse.core.values.parameters import Parameters
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import (
    CredentialError,
    LateResultError,
    PlanError,
    StorageError,
    TaskError,
    TransportError,
    UpdateError,
)
from hanse.pki.signatures import sign
from hanse.wire.messages.sites import TASK_RESULT_1, Assignment, RunWork, TaskOutcome
from hanse.wire.tensors import encode, open_file, write_file

Run = Callable[[Any], Any]

UPDATE = {"weight": np.ones((2, 3), np.float32), "steps": np.array(1)}


class FakeWorkers:
    """Writes and reports what a test has it, or raises it; without a process."""

    def __init__(self, *results: TaskReport | Exception, update: Parameters | None = UPDATE) -> None:
        self.results = list(results) or [TaskReport(num_examples=10, metrics={"loss": 0.5})]
        self.update = update
        self.orders: list[Order] = []
        self.ended: list[str] = []

    async def carry_out(
        self, run_id: str, manifest: Manifest, folder: RunFolder, order: Order, progress: Progress
    ) -> TaskReport:
        self.orders.append(order)
        assert order.model is None or open_file(Path(order.model)).keys() == MODEL.keys()
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        if self.update is not None and order.task != "evaluate":
            write_file(Path(order.update), self.update)
        return result

    async def end_run(self, run_id: str) -> None:
        self.ended.append(run_id)


@pytest.fixture
def work(site: Site, run: Run) -> RunWork:
    """A run whose plan the site has accepted."""
    work = site.publish(manifest_of())
    run(Reviewer(site.context()).review(work))
    return work


def settled(
    site: Site, run: Run, work: RunWork, assignment: Assignment, workers: FakeWorkers, **settings: Any
) -> TaskOutcome:
    """Have an agent that just started settle a task; what the aggregator got of it last."""
    context = site.context(**settings)
    tasks = tasks_of(context, workers)  # type: ignore[arg-type]
    run(tasks.run(work, assignment))
    return site.upstream.outcomes[-1]


def telling(failures: str) -> dict[str, Any]:
    """A policy that lets this much of a failure out."""
    return {"accept": ["demo"], "discloses": {"failures": failures}}


def test_what_was_trained_is_delivered_and_told(site: Site, run: Run, work: RunWork) -> None:
    assignment = site.assignment(exchange=3, round_number=2)

    outcome = settled(site, run, work, assignment, FakeWorkers())

    assert (outcome.outcome, outcome.num_examples, outcome.metrics) == ("done", 10, {"loss": 0.5})
    assert (outcome.exchange, outcome.round_number, outcome.model) == (3, 2, assignment.model)
    assert np.array_equal(site.upstream.update(outcome)["weight"], UPDATE["weight"])


def test_a_task_that_takes_long_is_reported_while_it_does(site: Site, run: Run, work: RunWork) -> None:
    class SlowWorkers(FakeWorkers):
        async def carry_out(self, *arguments: Any) -> TaskReport:
            await until(lambda: 3 in site.upstream.progressed)
            return await super().carry_out(*arguments)

    assert settled(site, run, work, site.assignment(exchange=3), SlowWorkers()).outcome == "done"


def test_what_is_not_declared_is_told_as_a_failure_and_stays(
    site: Site, run: Run, work: RunWork, caplog: pytest.LogCaptureFixture
) -> None:
    workers = FakeWorkers(update=UPDATE | {"patients": np.ones(3)})

    asked = site.assignment(max_update_bytes=10_000)
    outcome = settled(site, run, work, asked, workers, policy=telling("message"))

    assert outcome.outcome == "failed"
    assert "'patients' was not expected" in outcome.reason
    assert "'patients' was not expected" in caplog.text
    assert site.upstream.delivered == {}
    assert list((site.directory / "runs").rglob("*update*.safetensors")) == []


@pytest.mark.parametrize(
    ("report", "update", "reason"),
    [
        (TaskReport(num_examples=1, metrics={"age": 41.0}), UPDATE, "metric 'age'"),
        (TaskReport(num_examples=1, metrics={"loss": np.nan}), UPDATE, "reports loss = nan"),
        (TaskReport(num_examples=1, metrics={"loss": 1 / 3}), UPDATE, "more than 6 significant digits"),
        (TaskReport(num_examples=-1), UPDATE, "-1 examples"),
        (TaskReport(num_examples=1), UPDATE | {"steps": np.array(1.0)}, "dtype float64"),
        (
            TaskReport(num_examples=1),
            UPDATE | {"weight": np.full((2, 3), np.nan, np.float32)},
            "NaN or an infinity",
        ),
        (TaskReport(num_examples=1), None, "sent no update"),
    ],
)
def test_nothing_leaves_that_may_not(
    site: Site, run: Run, work: RunWork, report: TaskReport, update: Parameters | None, reason: str
) -> None:
    workers = FakeWorkers(report, update=update)

    outcome = settled(site, run, work, site.assignment(), workers, policy=telling("message"))

    assert (outcome.outcome, outcome.num_examples, outcome.metrics) == ("failed", 0, {})
    assert reason in outcome.reason
    assert site.upstream.delivered == {}


def test_what_the_plan_keeps_at_the_site_does_not_leave(site: Site, run: Run) -> None:
    work = site.publish(manifest_of(personal=["steps"]))
    run(Reviewer(site.context()).review(work))
    told = telling("message")

    trained = settled(site, run, work, site.assignment(max_update_bytes=10_000), FakeWorkers(), policy=told)
    asked = site.assignment("initialise", exchange=2, round_number=0, model=None, max_update_bytes=10_000)
    first = settled(site, run, work, asked, FakeWorkers(TaskReport(), update=MODEL), policy=told)

    for outcome in (trained, first):
        assert "would disclose the tensor 'steps', which the plan keeps at each site" in outcome.reason
    assert site.upstream.delivered == {}


def test_a_task_without_an_update_delivers_none(site: Site, run: Run, work: RunWork) -> None:
    workers = FakeWorkers(TaskReport(num_examples=4, metrics={"accuracy": 0.5}))

    outcome = settled(site, run, work, site.assignment("evaluate"), workers)

    assert (outcome.update, outcome.metrics) == (None, {"accuracy": 0.5})


def test_the_worker_is_told_which_exchange_counted_last(site: Site, run: Run, work: RunWork) -> None:
    workers = FakeWorkers()

    settled(site, run, work, site.assignment(exchange=5, accepted=2), workers)

    assert [(order.exchange, order.counted) for order in workers.orders] == [(5, 2)]


@pytest.mark.parametrize(("answer", "counted"), [(None, 3), (LateResultError("too late"), 2)])
def test_what_came_of_an_exchange_is_known_to_one_that_was_asked_before(
    site: Site, run: Run, work: RunWork, answer: LateResultError | None, counted: int
) -> None:
    workers = FakeWorkers()
    tasks = tasks_of(site.context(), workers)  # type: ignore[arg-type]
    if answer is not None:
        site.upstream.fail("result", answer)

    for exchange in (3, 4):
        run(tasks.run(work, site.assignment(exchange=exchange, accepted=2)))

    assert [(order.exchange, order.counted) for order in workers.orders] == [(3, 2), (4, counted)]


def test_what_the_aggregator_has_forgotten_does_not_count_any_more(
    site: Site, run: Run, work: RunWork
) -> None:
    workers = FakeWorkers()
    tasks = tasks_of(site.context(), workers)  # type: ignore[arg-type]

    run(tasks.run(work, site.assignment(exchange=4, accepted=2)))
    site.upstream.fail("result", LateResultError("too late"))
    for exchange in (3, 5):
        run(tasks.run(work, site.assignment(exchange=exchange, accepted=2)))

    assert [(order.exchange, order.counted) for order in workers.orders] == [(4, 2), (3, 2), (5, 2)]


def test_a_metric_that_is_not_defined_is_delivered_and_recorded_as_not_given(
    site: Site, run: Run, work: RunWork
) -> None:
    workers = FakeWorkers(TaskReport(num_examples=4, metrics={"accuracy": None}))

    outcome = settled(site, run, work, site.assignment("evaluate"), workers)

    assert outcome.metrics == {"accuracy": None}
    assert released(site)[0]["metrics"] == {"accuracy": None}


def test_the_first_model_is_delivered_whole(site: Site, run: Run, work: RunWork) -> None:
    asked = site.assignment("initialise", round_number=0, model=None, model_bytes=0, max_update_bytes=10_000)

    outcome = settled(site, run, work, asked, FakeWorkers(TaskReport(), update=MODEL))

    assert np.array_equal(site.upstream.update(outcome)["weight"], MODEL["weight"])


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"task": "initialise", "round_number": 3}, "no first model may be asked"),
        ({"task": "spy"}, "no task 'spy'"),
        ({"round_number": 6}, "the plan has 5 rounds"),
        ({"model": None}, "is asked without a model; by the plan it receives model"),
    ],
)
def test_what_the_plan_does_not_foresee_is_not_done(
    site: Site, run: Run, work: RunWork, asked: dict[str, Any], reason: str
) -> None:
    workers = FakeWorkers()

    outcome = settled(site, run, work, site.assignment(**asked), workers, policy=telling("message"))

    assert reason in outcome.reason
    assert workers.orders == []


def test_a_task_of_a_plan_that_was_not_accepted_is_not_done(site: Site, run: Run) -> None:
    workers = FakeWorkers()

    outcome = settled(site, run, site.publish(manifest_of()), site.assignment(), workers)

    assert "hospital-a has not accepted plan" in outcome.reason
    assert workers.orders == []


def test_a_failed_task_is_tried_again(site: Site, run: Run, work: RunWork) -> None:
    workers = FakeWorkers(TaskError("boom"), TaskReport(num_examples=1))

    assert settled(site, run, work, site.assignment(), workers).outcome == "done"


def test_a_task_that_fails_as_often_as_the_plan_permits_is_given_up(site: Site, run: Run) -> None:
    work = site.publish(manifest_of(tasks={"train": TRAIN | {"retries": 2}}))
    run(Reviewer(site.context()).review(work))
    workers = FakeWorkers(TaskError("train failed at federation.py:5"))

    outcome = settled(site, run, work, site.assignment(), workers, policy=telling("log"))

    assert len(workers.orders) == 3
    assert (outcome.outcome, outcome.reason) == ("failed", "train failed at federation.py:5")


KIND = "task train failed (task); the site's own log says more"


@pytest.mark.parametrize(
    ("failures", "reason", "tail"),
    [(None, KIND, ""), ("kind", KIND, ""), ("message", "boom", ""), ("log", "boom", "Traceback")],
)
def test_a_failure_discloses_as_much_as_the_site_permits(
    site: Site, run: Run, work: RunWork, failures: str | None, reason: str, tail: str
) -> None:
    workers = FakeWorkers(TaskError("boom", log_tail="line\n" * 2_000 + "Traceback"))
    policy = {"accept": ["demo"]} if failures is None else telling(failures)

    outcome = settled(site, run, work, site.assignment(), workers, policy=policy)

    assert outcome.reason == reason
    assert outcome.log_tail[-9:] == tail
    assert len(outcome.log_tail) <= 8_192


def test_names_that_the_plans_code_chose_are_no_way_out_either(site: Site, run: Run, work: RunWork) -> None:
    policy = {"accept": ["demo"], "discloses": {"failures": "kind"}}
    workers = FakeWorkers(TaskReport(num_examples=1, metrics={"Jane Doe": 41.0}))

    outcome = settled(site, run, work, site.assignment(), workers, policy=policy)

    assert outcome.reason == "task train failed (disclosure); the site's own log says more"


@pytest.mark.parametrize(
    ("failures", "reason"),
    [
        ("message", "train failed at federation.py:5: ValueError: patient 17"),
        ("kind", "task train failed (task); the site's own log says more"),
    ],
)
def test_what_plan_code_prints_or_raises_leaves_only_as_the_site_permits(
    site: Site, run: Run, work: RunWork, failures: str, reason: str
) -> None:
    error = TaskError("train failed at federation.py:5: ValueError: patient 17", log_tail="patient 17")
    workers = FakeWorkers(error, error)

    outcome = settled(site, run, work, site.assignment(), workers, policy=telling(failures))

    assert (outcome.reason, outcome.log_tail) == (reason, "")


def test_what_would_fail_again_is_not_tried_again(site: Site, run: Run, work: RunWork) -> None:
    workers = FakeWorkers(PlanError("the learner knows no setting 'epoch'"))

    outcome = settled(site, run, work, site.assignment(), workers, policy=telling("message"))

    assert len(workers.orders) == 1
    assert "'epoch'" in outcome.reason


def test_a_restarted_agent_hands_in_what_the_one_before_had_done(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.fail("result", CredentialError("stands for a crash before the result is taken"))
    with pytest.raises(CredentialError):
        settled(site, run, work, site.assignment(), FakeWorkers())

    workers = FakeWorkers(TaskError("must not be asked"))
    outcome = settled(site, run, work, site.assignment(), workers)

    assert outcome.outcome == "done"
    assert workers.orders == []
    assert len(site.upstream.outcomes) == 1


def test_an_outcome_whose_update_was_lost_is_made_again(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.fail("deliver", CredentialError("stands for a crash"))
    with pytest.raises(CredentialError):
        settled(site, run, work, site.assignment(), FakeWorkers())
    os.truncate(site.directory / "runs" / "demo-1" / "outcomes" / "1.safetensors", 5)

    workers = FakeWorkers()
    settled(site, run, work, site.assignment(), workers)

    assert len(workers.orders) == 1


def test_an_outcome_of_another_task_is_not_handed_in(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.fail("result", CredentialError("stands for a crash"))
    with pytest.raises(CredentialError):
        settled(site, run, work, site.assignment("evaluate", model_bytes=500), FakeWorkers())

    workers = FakeWorkers()
    outcome = settled(site, run, work, site.assignment("train"), workers)

    assert (outcome.task, outcome.outcome) == ("train", "failed")
    assert "exchange 1 of run demo-1 asked for another task, round, model or groups before" in outcome.reason
    assert workers.orders == []


def test_an_outcome_that_somebody_else_wrote_is_not_handed_in(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.fail("result", CredentialError("stands for a crash"))
    with pytest.raises(CredentialError):
        settled(site, run, work, site.assignment(), FakeWorkers())
    path = site.directory / "runs" / "demo-1" / "outcomes" / "1.json"
    path.write_text(path.read_text().replace('"num_examples":10', '"num_examples":99'))

    workers = FakeWorkers()
    outcome = settled(site, run, work, site.assignment(), workers)

    assert outcome.num_examples == 10
    assert len(workers.orders) == 1


def test_a_result_that_comes_too_late_is_dropped(
    site: Site, run: Run, work: RunWork, caplog: pytest.LogCaptureFixture
) -> None:
    site.upstream.fail("result", LateResultError("exchange 1 had closed"))
    context = site.context()

    run(tasks_of(context, FakeWorkers()).run(work, site.assignment()))  # type: ignore[arg-type]

    assert site.upstream.outcomes == []
    assert "discarded: exchange 1 had closed" in caplog.text


def test_a_result_that_the_aggregator_refuses_is_told_as_a_failure(
    site: Site, run: Run, work: RunWork
) -> None:
    site.upstream.fail("result", UpdateError("the update is unusable"))

    outcome = settled(site, run, work, site.assignment(), FakeWorkers(), policy=telling("message"))

    assert (outcome.outcome, outcome.reason) == ("failed", "the update is unusable")


def test_not_even_a_failure_that_is_refused_ends_the_agent(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.fail("result", UpdateError("no"), UpdateError("still no"))
    context = site.context()

    run(tasks_of(context, FakeWorkers()).run(work, site.assignment()))  # type: ignore[arg-type]

    assert site.upstream.outcomes == []


def test_a_network_that_fails_and_a_full_disk_at_the_aggregator_only_delay(
    site: Site, run: Run, work: RunWork
) -> None:
    for method in ("fetch", "deliver", "result", "progress"):
        site.upstream.fail(method, TransportError("the connection was cut"))
    site.upstream.fail("deliver", StorageError("the aggregator's disk is full"))
    site.upstream.fail("result", StorageError("the aggregator's disk is full"))

    assert settled(site, run, work, site.assignment(), FakeWorkers()).outcome == "done"


def test_too_little_disk_is_told_before_anything_is_fetched(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.fetched.clear()

    outcome = settled(
        site, run, work, site.assignment(), FakeWorkers(), disk_reserve=2**50, policy=telling("message")
    )

    assert outcome.outcome == "failed"
    assert outcome.reason.startswith("the disk of <site folder> has ")
    assert str(site.directory) not in outcome.reason
    assert site.upstream.fetched == []


def test_a_task_that_failed_is_done_anew_when_it_is_asked_again(site: Site, run: Run, work: RunWork) -> None:
    failed = settled(site, run, work, site.assignment(), FakeWorkers(PlanError("no")))
    done = settled(site, run, work, site.assignment(), FakeWorkers())

    assert (failed.outcome, done.outcome) == ("failed", "done")


def test_a_model_is_fetched_once_for_the_tasks_that_start_from_it(
    site: Site, run: Run, work: RunWork
) -> None:
    settled(site, run, work, site.assignment("evaluate", 1), FakeWorkers(TaskReport(num_examples=1)))
    settled(site, run, work, site.assignment("train", 2), FakeWorkers())

    model = site.assignment().model
    assert model is not None
    assert site.upstream.fetched.count(model.digest) == 1


def test_what_is_needed_no_more_is_deleted(site: Site, run: Run, work: RunWork) -> None:
    first = site.assignment()
    settled(site, run, work, first, FakeWorkers())
    data = encode(UPDATE)
    second = site.assignment(exchange=2, model=site.upstream.add(data), model_bytes=len(data))
    settled(site, run, work, second, FakeWorkers())

    folder = RunFolder(site.directory / "runs" / "demo-1")
    assert first.model is not None
    assert second.model is not None
    assert list(folder.models.iterdir()) == [folder.model(second.model)]
    blobs = site.context().blobs
    assert not any(blobs.has(model.digest) for model in (first.model, second.model))
    assert not folder.outgoing(1).exists()
    assert not folder.written.exists()


def test_runs_of_one_model_do_not_take_it_from_each_other(site: Site, run: Run, work: RunWork) -> None:
    context = site.context()
    tasks = tasks_of(context, FakeWorkers())  # type: ignore[arg-type]
    other = work.model_copy(update={"run_id": "demo-2"})

    async def both() -> None:
        await asyncio.gather(*(tasks.run(each, site.assignment()) for each in (work, other)))

    run(both())

    assert [outcome.outcome for outcome in site.upstream.outcomes] == ["done", "done"]


def test_a_run_that_is_over_leaves_no_model_and_no_worker(site: Site, run: Run, work: RunWork) -> None:
    context, workers = site.context(), FakeWorkers()
    tasks = tasks_of(context, workers)  # type: ignore[arg-type]
    run(tasks.run(work, site.assignment()))

    run(tasks.end_run("demo-1"))

    assert workers.ended == ["demo-1"]
    assert list(RunFolder(site.directory / "runs" / "demo-1").models.iterdir()) == []


def test_a_site_that_was_removed_stops(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.fail("result", CredentialError("hospital-a was removed"))

    with pytest.raises(CredentialError, match="removed"):
        settled(site, run, work, site.assignment(), FakeWorkers())


def released(site: Site) -> list[dict[str, Any]]:
    """What the site's journal says left for tasks, in order."""
    found = records_of(site.directory, SiteHistory())
    return [{"kind": record.kind, **record.body} for record, _ in found if "exchange" in record.body]


def test_a_result_is_in_the_journal_before_anything_of_it_leaves(site: Site, run: Run, work: RunWork) -> None:
    site.upstream.fail("deliver", LateResultError("too late"))
    context = site.context()

    with pytest.raises(IndexError):
        settled(site, run, work, site.assignment(), FakeWorkers())

    (record,) = released(site)
    assert (record["kind"], record["run_id"], record["exchange"]) == ("ResultReleased", "demo-1", 1)
    assert (record["task"], record["num_examples"], record["metrics"]) == ("train", 10, {"loss": 0.5})
    assert record["update"]["tensors"] == [
        {"name": "steps", "dtype": "int64", "shape": []},
        {"name": "weight", "dtype": "float32", "shape": [2, 3]},
    ]
    assert context.journal.open().records == 3


def test_an_outcome_names_its_record_in_the_journal(site: Site, run: Run, work: RunWork) -> None:
    outcome = settled(site, run, work, site.assignment(), FakeWorkers())

    assert outcome.journal is not None
    assert site.journal().holds(outcome.journal)
    assert outcome.journal.sequence == 3  # the journal was begun, and the plan answered


def test_a_failure_is_in_the_journal_with_the_text_that_travels(site: Site, run: Run, work: RunWork) -> None:
    workers = FakeWorkers(TaskError("boom", log_tail="Traceback"))

    outcome = settled(site, run, work, site.assignment(), workers, policy=telling("log"))

    (record,) = released(site)
    assert (record["kind"], record["reason"], record["log_tail"]) == ("FailureReleased", "boom", "Traceback")
    assert outcome.journal is not None


def test_a_result_that_is_sent_once_more_adds_no_record(site: Site, run: Run, work: RunWork) -> None:
    first = settled(site, run, work, site.assignment(), FakeWorkers())

    again = settled(site, run, work, site.assignment(), FakeWorkers())

    assert again.journal == first.journal
    assert len(released(site)) == 1


def test_of_an_update_with_very_many_tensors_the_first_are_listed_and_the_others_counted(
    site: Site, run: Run, work: RunWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "MOST_TENSORS", 1)

    settled(site, run, work, site.assignment(), FakeWorkers())

    (record,) = released(site)
    assert [tensor["name"] for tensor in record["update"]["tensors"]] == ["steps"]
    assert record["update"]["more_tensors"] == 1


def test_nothing_leaves_while_the_journal_cannot_be_written(
    site: Site, run: Run, work: RunWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, append = [StorageError("the disk is full")] * 3, SiteJournal.append

    def filled(journal: SiteJournal, record: SiteRecord) -> JournalHead:
        if full:
            assert site.upstream.delivered == {}
            raise full.pop()
        return append(journal, record)

    monkeypatch.setattr(SiteJournal, "append", filled)

    assert settled(site, run, work, site.assignment(), FakeWorkers()).outcome == "done"
    assert full == []


def test_an_outcome_that_an_agent_of_0_1_signed_is_handed_in_as_the_protocol_is_now(
    site: Site, run: Run, work: RunWork
) -> None:
    (site.directory / FILE).write_text(f'["{work.run_id}"]')
    site.upstream.fail("result", LateResultError("too late"))
    with pytest.raises(IndexError):
        settled(
            site,
            run,
            work,
            site.assignment("evaluate", roster=None),
            FakeWorkers(TaskReport(num_examples=4, metrics={"accuracy": 0.5})),
        )
    kept = RunFolder(site.directory / "runs" / work.run_id)
    statement = kept.outcome(1)
    assert statement is not None
    body = {name: value for name, value in statement.body.items() if name not in ("journal", "roster")}
    body["metrics"] = {"accuracy": 1 / 3}  # which 0.1 did not round
    signature = sign(site.credentials, TASK_RESULT_1, body)
    kept.keep_outcome(1, CertifiedStatement(body=body, **signature.model_dump()))
    workers = FakeWorkers()

    outcome = settled(site, run, work, site.assignment("evaluate", roster=None), workers)

    assert workers.orders == []
    assert outcome.journal is not None
    assert outcome.metrics == {"accuracy": 0.333333}
