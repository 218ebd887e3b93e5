"""What plan code says, and errors that were not foreseen: they end a task, and no agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.collaborator.aggregators import LEARNER, Site, manifest_of, until
from tests.unit.collaborator.test_agent import accepted, ask, at_work
from tests.unit.collaborator.test_tasks import FakeWorkers, settled, telling

from hanse.collaborator.review import Reviewer
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.site_journal import SiteJournal
from hanse.collaborator.task_run import TaskRun
from hanse.collaborator.task_worker.protocol import TaskReport, read_report
from hanse.core.journal.site_records import Release
from hanse.core.values.safe_text import is_safe
from hanse.errors import InternalError, TaskError, TransportError
from hanse.wire.messages.sites import RunWork

Run = Callable[[Any], Any]

HALF = "half a pair: \ud800, and \x1b[2J"
RAISING = LEARNER.replace("trained = {", r"raise ValueError('half a pair: \ud800, and \x1b[2J'); trained = {")


@pytest.fixture
def work(site: Site, run: Run) -> RunWork:
    """A run whose plan the site has accepted."""
    work = site.publish(manifest_of())
    run(Reviewer(site.context()).review(work))
    return work


@pytest.mark.slow
def test_text_that_nothing_can_write_down_fails_the_task_in_words(site: Site, run: Run) -> None:
    async def scenario() -> None:
        async with at_work(site, policy=telling("log")):
            work = await accepted(site, RAISING)
            ask(site, work, site.assignment())
            await until(lambda: site.upstream.outcomes)
            ask(site, work, site.assignment("evaluate", 2))
            await until(lambda: len(site.upstream.outcomes) == 2)

    run(scenario())

    failed, done = site.upstream.outcomes
    assert failed.reason.endswith(r"ValueError: half a pair: \ud800, and \x1b[2J")
    assert failed.log_tail.endswith(r"ValueError: half a pair: \ud800, and \x1b[2J")
    assert (failed.outcome, done.outcome) == ("failed", "done")


@pytest.mark.slow
def test_a_traceback_leaves_without_the_paths_of_the_site(site: Site, run: Run, tmp_path: Path) -> None:
    read = "next(self.site.data['xrays'].iterdir()).read_text(); trained = {"
    code = LEARNER.replace("trained = {", read)
    place = tmp_path / "patients of the north"
    (place / "John Smith.csv").mkdir(parents=True)

    async def scenario() -> None:
        async with at_work(site, policy=telling("log"), data={"xrays": str(place)}):
            work = await accepted(site, code, data=("xrays",))
            ask(site, work, site.assignment())
            await until(lambda: site.upstream.outcomes)

    run(scenario())

    (outcome,) = site.upstream.outcomes
    assert outcome.reason.endswith("Is a directory: '<data source xrays>'")
    assert 'federation.py", line ' in outcome.log_tail
    for text in (outcome.reason, outcome.log_tail):
        assert not any(part in text for part in ("Smith", "patients", str(tmp_path), str(site.directory)))


def test_what_a_worker_says_is_safe_whoever_wrote_it() -> None:
    told = {"error": "task", "reason": HALF, "mend": HALF, "log_tail": f"{HALF}\n{HALF}"}

    report = read_report(told)

    assert report.reason == r"half a pair: \ud800, and \x1b[2J"
    assert all(map(is_safe, (report.reason, report.mend, report.log_tail)))


@pytest.mark.parametrize("failures", ["kind", "message", "log"])
def test_an_error_that_was_not_foreseen_fails_the_task_with_its_kind(
    site: Site, run: Run, work: RunWork, failures: str, caplog: pytest.LogCaptureFixture
) -> None:
    workers = FakeWorkers(KeyError("patient 17"))

    outcome = settled(site, run, work, site.assignment(), workers, policy=telling(failures))

    assert outcome.outcome == "failed"
    assert outcome.reason == {
        "kind": "task train failed (internal); the site's own log says more",
    }.get(failures, "an unforeseen KeyError; the site's own log has its trace")
    assert "KeyError: 'patient 17'" in caplog.text


def test_what_an_earlier_agent_said_leaves_by_what_the_site_permits_now(
    site: Site, run: Run, work: RunWork
) -> None:
    error = TaskError("train failed: patient 17", log_tail="patient 17")
    site.upstream.fail("result", TransportError("stands for a crash"), *[KeyError("of the test")] * 2)
    with pytest.raises(KeyError):
        settled(site, run, work, site.assignment(), FakeWorkers(error), policy=telling("log"))
    assert RunFolder(site.directory / "runs" / "demo-1").outcome(1) is not None

    outcome = settled(site, run, work, site.assignment(), FakeWorkers(), policy=telling("kind"))

    assert (outcome.outcome, outcome.log_tail) == ("failed", "")
    assert outcome.reason == "task train failed (task); the site's own log says more"


def test_an_aggregator_that_meets_an_error_is_asked_again(site: Site, run: Run, work: RunWork) -> None:
    for method in ("fetch", "deliver", "result"):
        site.upstream.fail(method, InternalError("internal error 1a2b3c4d"))

    assert settled(site, run, work, site.assignment(), FakeWorkers()).outcome == "done"


def test_the_other_runs_go_on_where_one_meets_an_error_at_each_step(
    site: Site, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A review, and two tasks of which not even the failure can be stated."""
    broken: list[str] = []
    record, carry_out = SiteJournal.record, TaskRun.carry_out

    def recorded(journal: SiteJournal, release: Release) -> Any:
        if release.run_id == "demo-1":
            broken.append(release.kind)
            raise ZeroDivisionError("a fault of ours")
        return record(journal, release)

    async def carried_out(task_run: TaskRun) -> Any:
        task_run = TaskRun(
            **{name: getattr(task_run, name) for name in TaskRun.__slots__ if name != "workers"},
            workers=FakeWorkers(TaskReport(num_examples=1)),  # type: ignore[arg-type]
        )
        return await carry_out(task_run)

    monkeypatch.setattr(SiteJournal, "record", recorded)
    monkeypatch.setattr(TaskRun, "carry_out", carried_out)

    async def scenario() -> None:
        async with at_work(site):
            first = site.publish(manifest_of())
            second = first.model_copy(update={"run_id": "demo-2"})
            asked = {"review": False, "assignments": (site.assignment(),)}
            site.upstream.want(first)
            await until(lambda: broken)
            site.upstream.want(first, second)
            await until(lambda: site.upstream.answers)
            site.upstream.want(first.model_copy(update=asked), second.model_copy(update=asked))
            await until(lambda: site.upstream.outcomes and "FailureReleased" in broken)

    run(scenario())

    assert list(dict.fromkeys(broken)) == ["PlanAnswerReleased", "ResultReleased", "FailureReleased"]
    assert [(o.run_id, o.outcome) for o in site.upstream.outcomes] == [("demo-2", "done")]
    assert "run demo-1: an error that was not foreseen; the agent continues" in caplog.text
    assert "ZeroDivisionError: a fault of ours" in caplog.text


@pytest.mark.parametrize("content", ["{", "\udcff", '{"by":"rule"}'])
def test_a_damaged_note_of_runs_or_answers_ends_no_agent(
    site: Site, run: Run, work: RunWork, content: str
) -> None:
    plans = site.directory / "plans" / work.plan_digest
    for name in ("runs.json", "answer.json"):
        (plans / name).write_bytes(content.encode("utf-8", "surrogateescape"))

    async def scenario() -> None:
        async with at_work(site):
            site.upstream.want(work)
            await until(lambda: len(site.upstream.answers) == 2)

    run(scenario())
