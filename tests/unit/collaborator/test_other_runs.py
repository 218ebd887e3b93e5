"""Two runs of one name, as an aggregator that lost the first one may give it: never taken for each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.collaborator.aggregators import Site, manifest_of, tasks_of
from tests.unit.collaborator.test_tasks import FakeWorkers

from hanse.collaborator.plan_store import PlanStore
from hanse.collaborator.releases import other_run
from hanse.collaborator.review import Reviewer
from hanse.collaborator.site_journal import records_of
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import PlanAnswerReleased, Release
from hanse.wire.messages.sites import RunWork

Run = Callable[[Any], Any]

FIRST, SECOND = 1_000, 2_000
"""When two runs of one name were submitted."""


@pytest.fixture
def first(site: Site, run: Run) -> RunWork:
    """A run in which the site has answered the plan and a task."""
    work = site.publish(manifest_of()).model_copy(update={"submitted_ms": FIRST})
    run(Reviewer(site.context()).review(work))
    run(tasks_of(site.context(), FakeWorkers()).run(work, site.assignment()))  # type: ignore[arg-type]
    return work


@pytest.fixture
def second(first: RunWork) -> RunWork:
    """Another run of the same name and plan."""
    return first.model_copy(update={"submitted_ms": SECOND})


def recorded(site: Site) -> list[Release]:
    records = [record for _, record in records_of(site.directory, SiteHistory())]
    return [record for record in records if isinstance(record, Release)]


def test_the_site_takes_no_part_in_it_whatever_the_rules_say_and_says_why(
    site: Site, run: Run, second: RunWork
) -> None:
    run(Reviewer(site.context()).review(second))

    refusal = site.upstream.answers[-1]
    assert not refusal.accepted
    assert refusal.reasons[0].startswith(
        "run demo-1, submitted on 1970-01-01 00:00:02Z, is not the run of this"
    )
    assert "submit the plan again" in refusal.reasons[0]


def test_the_answer_to_it_is_in_the_journal(site: Site, run: Run, second: RunWork) -> None:
    run(Reviewer(site.context()).review(second))

    last = recorded(site)[-1]
    assert isinstance(last, PlanAnswerReleased)
    assert (last.run_id, last.submitted_ms, last.accepted) == ("demo-1", SECOND, False)


def test_the_first_run_and_the_plan_stay_accepted(
    site: Site, run: Run, first: RunWork, second: RunWork
) -> None:
    run(Reviewer(site.context()).review(second))

    run(Reviewer(site.context()).review(first))

    assert [answer.accepted for answer in site.upstream.answers] == [True, False, True]
    answer = PlanStore(site.directory / "plans").answer(first.plan_digest)
    assert answer is not None
    assert answer.body.accepted


def test_neither_is_a_task_of_it_performed_nor_the_outcome_of_the_first_sent(
    site: Site, run: Run, second: RunWork, caplog: pytest.LogCaptureFixture
) -> None:
    workers, sent, before = FakeWorkers(), list(site.upstream.outcomes), recorded(site)

    for exchange in (1, 2):
        run(tasks_of(site.context(), workers).run(second, site.assignment(exchange=exchange)))  # type: ignore[arg-type]

    assert (workers.orders, site.upstream.outcomes, recorded(site)) == ([], sent, before)
    assert "no task of it is performed" in caplog.text


def test_the_first_run_is_known_again_after_a_restart(site: Site, run: Run, first: RunWork) -> None:
    run(tasks_of(site.context(), FakeWorkers()).run(first, site.assignment(exchange=2)))  # type: ignore[arg-type]

    assert [outcome.exchange for outcome in site.upstream.outcomes] == [1, 2]
    assert {record.submitted_ms for record in recorded(site)} == {FIRST}


@pytest.mark.parametrize("submitted_ms", [None, FIRST])
def test_a_run_is_another_only_where_both_times_are_known(site: Site, submitted_ms: int | None) -> None:
    history = SiteHistory()
    assert other_run(history, "demo-1", submitted_ms) == ""

    history.submitted_ms["demo-1"] = FIRST

    assert other_run(history, "demo-1", submitted_ms) == ""
    assert other_run(history, "demo-1", SECOND)
