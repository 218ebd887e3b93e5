"""A site performs a task in no more exchanges than the plan says, whoever asks, and whatever it has lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.collaborator.aggregators import EVALUATE, TRAIN, Site, manifest_of
from tests.unit.collaborator.test_tasks import FakeWorkers, settled

from hanse.collaborator.review import Reviewer
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.site_journal import records_of
from hanse.collaborator.task_worker.protocol import TaskReport
from hanse.config.layout import JOURNAL
from hanse.core.journal import site_history
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import JournalHead, RestoreAcknowledged
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import PolicyError, TaskError
from hanse.pki.signatures import sign
from hanse.wire.messages.sites import TASK_RESULT_1, RunWork, TaskOutcome
from hanse.wire.tensors import encode

Run = Callable[[Any], Any]

INDIVIDUAL = {"discloses": {"update": "individual", "metrics": ["loss"]}}
ALL = {"policy": {"accept": ["demo"], "discloses": {"update": "individual"}}}


def published(site: Site, run: Run, **plan: Any) -> RunWork:
    """A run of a plan that the site has accepted."""
    work = site.publish(manifest_of(**plan))
    run(Reviewer(site.context(**ALL)).review(work))
    return work


def asked(
    site: Site,
    run: Run,
    work: RunWork,
    exchange: int,
    *,
    workers: FakeWorkers | None = None,
    task: str = "train",
    **told: Any,
) -> TaskOutcome:
    """What an agent that just started says of a task of round 1, unless another round is told."""
    told = {"round_number": 1} | told
    return settled(site, run, work, site.assignment(task, exchange, **told), workers or FakeWorkers(), **ALL)


def kinds(site: Site) -> list[str]:
    return [record.kind for record, _ in records_of(site.directory, SiteHistory())]


def test_an_exchange_more_than_the_plan_says_fails_with_its_line(site: Site, run: Run) -> None:
    work, workers = published(site, run), FakeWorkers()
    assert asked(site, run, work, 1).outcome == "done"

    outcome = asked(site, run, work, 2, workers=workers)

    assert outcome.outcome == "failed"
    assert "'train' was asked in 1 exchange of round 1 of run demo-1 before" in outcome.reason
    assert "`tasks: {train: {exchanges: 1}}`" in outcome.reason
    assert workers.orders == []


def test_the_reason_leaves_a_site_that_tells_kinds_of_failures_only(site: Site, run: Run) -> None:
    work = published(site, run)
    asked(site, run, work, 1)

    kind = {"policy": {"accept": ["demo"], "discloses": {"failures": "kind"}}}
    again = site.assignment("train", 2, round_number=1)

    assert "exchanges: 1" in settled(site, run, work, again, FakeWorkers(), **kind).reason


def test_forty_more_exchanges_of_one_round_are_refused_each(site: Site, run: Run) -> None:
    work, workers = published(site, run, rounds=1), FakeWorkers()

    outcomes = [asked(site, run, work, number, workers=workers).outcome for number in range(1, 42)]

    assert outcomes == ["done"] + ["failed"] * 40
    assert len(workers.orders) == 1


def test_the_plan_may_say_more(site: Site, run: Run) -> None:
    work = published(site, run, tasks={"train": TRAIN | {"exchanges": 2}, "evaluate": EVALUATE})

    assert [asked(site, run, work, n).outcome for n in (1, 2, 3)] == ["done", "done", "failed"]


def test_other_tasks_and_rounds_count_by_themselves(site: Site, run: Run) -> None:
    work = published(site, run)
    asked(site, run, work, 1)
    measured = FakeWorkers(TaskReport(num_examples=3, metrics={"accuracy": 0.5}))

    assert asked(site, run, work, 2, task="evaluate", workers=measured).outcome == "done"
    assert asked(site, run, work, 3, round_number=2).outcome == "done"


def test_a_run_counts_by_itself(site: Site, run: Run) -> None:
    work = published(site, run)
    asked(site, run, work, 1)
    other = work.model_copy(update={"run_id": "demo-2"})

    assert asked(site, run, other, 1).outcome == "done"


def test_a_task_that_failed_was_asked_too_and_may_be_asked_again_under_its_number(
    site: Site, run: Run
) -> None:
    work = published(site, run)
    broken = FakeWorkers(TaskError("no memory"))
    assert asked(site, run, work, 1, workers=broken).outcome == "failed"

    assert asked(site, run, work, 2).outcome == "failed"  # another exchange of the round
    assert asked(site, run, work, 1).outcome == "done"  # the run was resumed


def test_what_was_refused_once_is_refused_again(site: Site, run: Run) -> None:
    work = published(site, run)
    asked(site, run, work, 1)

    assert [asked(site, run, work, 2).outcome for _ in range(3)] == ["failed"] * 3


@pytest.mark.parametrize("told", [{"round_number": 2}, {"task": "evaluate"}, {"model": None}])
def test_under_the_number_of_an_exchange_nothing_else_is_performed(
    site: Site, run: Run, told: dict[str, Any]
) -> None:
    work, workers = published(site, run), FakeWorkers()
    asked(site, run, work, 1)
    if "model" in told:
        data = encode({"weight": FakeWorkers().update["weight"] * 2})  # type: ignore[index]
        told = {"model": site.upstream.add(data), "model_bytes": len(data)}

    outcome = asked(site, run, work, 1, workers=workers, **told)

    assert outcome.outcome == "failed"
    assert "exchange 1 of run demo-1 asked for another task, round, model or groups before" in outcome.reason
    assert workers.orders == []


def test_a_first_model_is_given_once(site: Site, run: Run) -> None:
    work = published(site, run)
    first = {"round_number": 0, "model": None, "model_bytes": 0, "max_update_bytes": 10_000}
    workers = FakeWorkers(TaskReport(num_examples=0))

    outcomes = [asked(site, run, work, n, task="initialise", workers=workers, **first) for n in (1, 2)]

    assert [outcome.outcome for outcome in outcomes] == ["done", "failed"]
    assert "has asked for a first model before, and may do so once" in outcomes[1].reason


class TestAskedAgain:
    """One exchange that the aggregator asks as often as it likes, of plan code with noise of its own."""

    def noisy(self, number: int, task: str = "train") -> FakeWorkers:
        if task == "evaluate":
            return FakeWorkers(TaskReport(num_examples=3, metrics={"accuracy": number / 10}))
        update = {name: array + number for name, array in FakeWorkers().update.items()}  # type: ignore[union-attr]
        return FakeWorkers(TaskReport(num_examples=10, metrics={"loss": 0.5}), update=update)

    def test_three_different_results_leave_and_no_more(self, site: Site, run: Run) -> None:
        work = published(site, run, rounds=1)

        outcomes = [asked(site, run, work, 1, workers=self.noisy(n)) for n in range(10)]

        assert [outcome.outcome for outcome in outcomes] == ["done"] * 3 + ["failed"] * 7
        assert "exchange 1 of run demo-1 was answered with 3 different results before" in outcomes[3].reason
        assert len({outcome.update.digest for outcome in outcomes if outcome.update is not None}) == 3
        assert len(site.upstream.delivered) == 3

    def test_the_same_result_may_leave_as_often_as_it_is_asked(self, site: Site, run: Run) -> None:
        work = published(site, run, rounds=1)

        assert [asked(site, run, work, 1).outcome for _ in range(10)] == ["done"] * 10

    def test_one_of_those_that_have_left_may_leave_again(self, site: Site, run: Run) -> None:
        work = published(site, run, rounds=1)
        told = [0, 1, 2, 3, 0]

        outcomes = [asked(site, run, work, 1, workers=self.noisy(n)).outcome for n in told]

        assert outcomes == ["done", "done", "done", "failed", "done"]

    def test_metrics_that_the_aggregator_refuses_each_time_count_too(self, site: Site, run: Run) -> None:
        work = published(site, run, rounds=1)
        sent = []
        for number in range(6):
            site.upstream.failing["result"] = [PolicyError("no")]
            asked(site, run, work, 1, task="evaluate", workers=self.noisy(number, "evaluate"))
            sent.append(kinds(site).count("ResultReleased"))

        assert sent == [1, 2, 3, 3, 3, 3]


class TestStream:
    """What a workflow of the plan's own may stream is bounded by the run, not by each round."""

    def work(self, site: Site, run: Run, **plan: Any) -> RunWork:
        workflow = {"workflow": "federation:learner", "rounds": 2}
        return published(site, run, **{"tasks": {"train": INDIVIDUAL}, **workflow, **plan})

    def test_a_site_gives_rounds_times_the_limit_answers(self, site: Site, run: Run) -> None:
        work = self.work(site, run)

        outcomes = [asked(site, run, work, n) for n in (1, 2, 3)]

        assert [outcome.outcome for outcome in outcomes] == ["done", "done", "failed"]
        assert "in 2 exchanges of run demo-1 before" in outcomes[2].reason
        assert "`rounds: 2` and `tasks: {train: {exchanges: 1}}`" in outcomes[2].reason

    def test_a_task_that_discloses_sums_alone_is_bounded_by_each_round(self, site: Site, run: Run) -> None:
        work = self.work(site, run, tasks={"train": TRAIN})

        assert [asked(site, run, work, n).outcome for n in (1, 2)] == ["done", "failed"]


class TestWhatIsLost:
    """The count is that of the site's journal, and of the outcomes that the site has signed and kept."""

    def test_releases_that_are_remembered_no_more_still_count(
        self, site: Site, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(site_history, "MOST_RELEASES", 1)
        work = published(site, run)
        for number in (1, 2, 3):
            asked(site, run, work, number, round_number=number)

        assert asked(site, run, work, 9, round_number=1).outcome == "failed"

    def test_an_acknowledged_restore_forgets_no_exchange(self, site: Site, run: Run) -> None:
        work = published(site, run)
        asked(site, run, work, 1)
        journal = site.journal()
        head = journal.open().head
        assert head is not None
        heard = JournalHead(generation=0, sequence=90, digest="f" * 64)
        journal.append(RestoreAcknowledged(heard=heard, own=head, by="kim", reason="", generation=1))
        journal.close()

        assert asked(site, run, work, 2).outcome == "failed"

    def test_what_a_restored_journal_lacks_is_taken_from_the_outcomes_that_were_kept(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        work, path = published(site, run), site.directory / JOURNAL
        backup = path.read_bytes()
        asked(site, run, work, 1)
        for journal in site.opened:
            journal.close()
        path.write_bytes(backup)

        outcome = asked(site, run, work, 2)

        assert outcome.outcome == "failed"
        assert kinds(site)[-2:] == ["ReleaseRecovered", "FailureReleased"]
        assert "the site's journal lacked exchange 1" in caplog.text

    def test_a_journal_that_was_begun_in_place_of_a_lost_one_knows_them_too(
        self, site: Site, run: Run
    ) -> None:
        work, path = published(site, run), site.directory / JOURNAL
        asked(site, run, work, 1)
        for journal in site.opened:
            journal.close()
        path.unlink()

        assert asked(site, run, work, 2).outcome == "failed"
        assert kinds(site) == ["SiteJournalBegun", "ReleaseRecovered", "FailureReleased"]

    def test_an_outcome_that_an_agent_of_0_1_signed_counts_and_is_no_reason_for_a_warning(
        self, site: Site, run: Run, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        work = published(site, run)
        path = site.directory / JOURNAL
        first = asked(site, run, work, 1)
        body = first.model_dump(mode="json", exclude={"journal", "roster"})
        signature = sign(site.credentials, TASK_RESULT_1, body)
        statement = CertifiedStatement(body=body, **signature.model_dump())
        (site.directory / "runs" / "demo-1" / "outcomes" / "1.json").write_text(statement.model_dump_json())
        for journal in site.opened:
            journal.close()
        path.unlink()

        assert asked(site, run, work, 2).outcome == "failed"
        assert "run demo-1: 1 exchange of before this site had a journal (Hanse 0.1)" in caplog.text
        assert not any(record.levelname == "WARNING" for record in caplog.records)

    def test_an_outcome_that_another_wrote_does_not_count(self, site: Site, run: Run) -> None:
        work = published(site, run)
        asked(site, run, work, 1)
        folder = RunFolder(site.directory / "runs" / "demo-1")
        kept = folder.outcome(1)
        assert kept is not None
        body = {**kept.body, "exchange": 5, "round_number": 4}
        folder.keep_outcome(5, kept.model_copy(update={"body": body}))

        assert asked(site, run, work, 6, round_number=4).outcome == "done"
        assert "ReleaseRecovered" not in kinds(site)

    def test_what_the_journal_has_is_not_recorded_again(self, site: Site, run: Run) -> None:
        work = published(site, run)
        for number in (1, 2):
            asked(site, run, work, number, round_number=number)

        assert kinds(site) == [
            "SiteJournalBegun",
            "PlanAnswerReleased",
            "ResultReleased",
            "ResultReleased",
        ]
