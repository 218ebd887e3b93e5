"""What a run wants of a site, and what an operator sees of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.call_counts import calls
from tests.unit.core.run.runs import MODEL, NEXT_MODEL, UPDATE, Driver

from hanse.aggregator.run.site_work import HEADER_SLACK, WorkList, progress_interval_s, sites_to_wake
from hanse.aggregator.run.status import CONTACT_MS, MOST_ABSENT, MOST_ANSWERS, MOST_AWAITED, status_of
from hanse.core.run.failure_streaks import FailureRecord, Suspension
from hanse.core.run.lifecycle import AnswerPlan, Fail, Leave, Resume, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.round_events import (
    Data,
    ExchangeClosed,
    ExchangeOpened,
    RoundCommitted,
    TaskFailed,
    TaskStarted,
    UpdateAccepted,
)
from hanse.core.run.run_events import RunFinished
from hanse.core.run.suspension import Reinstate
from hanse.core.run.tasks import FailTask
from hanse.core.run.timing import Tick
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.roster import Roster
from hanse.core.values.sorted_map import SortedMap, SortedSet
from hanse.core.values.statements import CertifiedStatement
from hanse.wire.messages.basics import MAX_MESSAGE, encode
from hanse.wire.messages.runs import StartWait
from hanse.wire.messages.sites import RunSuspension, Work


def work(site: str, *drivers: Driver) -> Work:
    return WorkList(lambda digest: 100, 10**6).of(site, [driver.state for driver in drivers])


class TestWork:
    def test_a_site_is_asked_for_its_answer_to_the_plan(self) -> None:
        (run,) = work("a", Driver("ab")).runs

        assert (run.run_id, run.review, run.assignments) == ("demo-1", True, ())

    def test_a_site_is_asked_its_task(self) -> None:
        (run,) = work("a", Driver("ab").asked()).runs

        (asked,) = run.assignments
        assert (asked.exchange, asked.task, asked.round_number, asked.model) == (1, "train", 1, MODEL)
        assert (asked.model_bytes, asked.max_update_bytes) == (100, 100 + HEADER_SLACK)
        assert not run.review

    def test_a_task_names_the_roster_of_its_exchange(self) -> None:
        driver = Driver("ab")
        for site in "ab":
            driver.do(AnswerPlan(site, True, signer=site * 64))
        driver.do(OpenRound(0))
        driver.do(Commit(0, MODEL))
        driver.do(OpenRound(1))
        driver.do(OpenExchange(1, 0, "train", MODEL))

        (asked,) = work("a", driver).runs[0].assignments

        assert asked.roster == Roster({"a": "a" * 64, "b": "b" * 64}).digest

    def test_a_site_whose_consent_names_no_key_has_to_answer_before_it_is_asked_a_task(self) -> None:
        driver = Driver("ab")
        for site in "ab":
            consent = CertifiedStatement(body={}, certificate="", signature="")
            driver.do(AnswerPlan(site, True, statement=consent))  # type: ignore[arg-type]
        driver.do(OpenRound(0))
        driver.do(Commit(0, MODEL))
        driver.do(OpenRound(1))
        driver.do(OpenExchange(1, 0, "train", MODEL))
        before = work("a", driver).runs[0]

        driver.do(AnswerPlan("a", True, signer="a" * 64))

        after = work("a", driver).runs[0]
        assert (before.review, before.assignments) == (True, ())
        assert (after.review, [asked.roster for asked in after.assignments]) == (False, [None])

    def test_a_task_names_the_sites_last_exchange_that_counts(self) -> None:
        driver = Driver("ab", cohort={"quorum": 0.5}).asked()
        driver.accept("a")
        driver.do(FailTask(1, "b", "no data"))
        driver.do(OpenExchange(1, 1, "evaluate", MODEL))

        asked = {site: work(site, driver).runs[0].assignments[0] for site in "ab"}

        assert {site: task.exchange for site, task in asked.items()} == {"a": 2, "b": 2}
        assert {site: task.accepted for site, task in asked.items()} == {"a": 1, "b": 0}

    def test_a_task_without_an_update_takes_none(self) -> None:
        assert work("a", Driver("ab").asked("evaluate")).runs[0].assignments[0].max_update_bytes == 0

    def test_a_first_model_may_be_of_any_size(self) -> None:
        driver = Driver("ab").started()
        driver.do(OpenRound(0))
        driver.do(OpenExchange(0, 0, "initialise", None, ("a",)))

        (asked,) = work("a", driver).runs[0].assignments

        assert (asked.model, asked.max_update_bytes) == (None, 10**6)

    def test_an_answer_ends_the_task(self) -> None:
        driver = Driver("ab").asked()
        driver.accept("a")

        assert work("a", driver).runs[0].assignments == ()

    def test_a_silent_site_may_still_answer(self) -> None:
        driver = Driver("ab", cohort={"idle_limit": 1, "quorum": 0.5}).asked()
        driver.do(Tick(), after_s=2)

        assert len(work("a", driver).runs[0].assignments) == 1

    @pytest.mark.parametrize("end", [Stop("operator"), Fail("workflow", "boom"), Leave("a", "removed")])
    def test_a_run_that_is_over_for_a_site_is_not_listed(self, end: Stop | Fail | Leave) -> None:
        driver = Driver("abc", cohort={"quorum": 0.5}).asked()
        driver.do(end)

        assert work("a", driver).runs == ()

    def test_a_stranger_is_wanted_for_nothing(self) -> None:
        assert work("z", Driver("ab").asked()).runs == ()

    def test_the_version_changes_with_the_content_and_only_with_it(self) -> None:
        driver = Driver("ab").asked()
        versions = [work("a", driver).version]
        driver.accept("b")
        versions.append(work("a", driver).version)
        driver.accept("a")
        versions.append(work("a", driver).version)

        assert versions[0] == versions[1] != versions[2]

    def test_progress_is_asked_for_well_within_the_idle_limit(self) -> None:
        assert progress_interval_s(Driver("a", cohort={"idle_limit": 40}).state) == 10.0
        assert progress_interval_s(Driver("a", cohort={"idle_limit": "10ms"}).state) == 0.2
        assert progress_interval_s(Driver("a", cohort={"idle_limit": "1d"}).state) == 60.0


class TestMemory:
    def test_what_is_wanted_of_many_alike_is_put_together_once(self) -> None:
        looked_up: list[str] = []

        def size_of(digest: str) -> int:
            looked_up.append(digest)
            return 100

        works, run = WorkList(size_of, 10**6), Driver("abc").asked().state
        first = works.of("a", [run])
        looked_up.clear()

        assert works.of("b", [run]) == works.of("c", [run]) == first
        assert not looked_up

    def test_what_is_wanted_changes_with_every_step_of_a_run(self) -> None:
        works, driver = WorkList(lambda digest: 100, 10**6), Driver("ab")

        def fresh() -> bool:
            told = works.of("a", [driver.state])
            return told == WorkList(lambda digest: 100, 10**6).of("a", [driver.state])

        assert fresh()
        driver.asked()
        assert fresh()
        driver.now_ms += 1_000
        driver.do(Stop("operator"))
        assert fresh()
        driver.do(Resume("operator"))
        assert fresh()
        driver.accept("a")
        assert fresh()

    def test_it_does_not_grow_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hanse.aggregator.run.site_work._MOST_REMEMBERED", 2)
        works, driver = WorkList(lambda digest: 100, 10**6), Driver("ab").asked()
        for name in "wxyz":
            works.of("a", [replace(driver.state, run_id=name)])

        assert len(works._told) <= 2


class TestSetAside:
    def suspended(self) -> Driver:
        driver = Driver("abc", rounds=9, cohort={"quorum": 0.5, "set_aside_after": 1}).asked()
        driver.accept("a")
        driver.accept("b")
        driver.do(FailTask(1, "c", "out of memory"))
        driver.do(Commit(1, NEXT_MODEL))
        return driver

    def test_a_site_that_is_set_aside_is_told_why_and_until_when(self) -> None:
        (run,) = work("c", self.suspended()).runs

        assert run.suspension == RunSuspension(
            reason="it failed in round 1, train: out of memory", reinstatement_round=12
        )
        assert work("a", self.suspended()).runs[0].suspension is None

    def test_a_reason_without_end_does_not_keep_a_site_from_its_work(self) -> None:
        driver = self.suspended()
        long = FailureRecord(suspensions={"c": Suspension(1, 0, "r" * 10_000)})
        run = replace(driver.state, failure_record=long)

        (found,) = WorkList(lambda digest: 100, 10**6).of("c", [run]).runs

        assert found.suspension is not None
        assert len(found.suspension.reason) == 1_000

    def test_its_work_changes_when_it_is_taken_back(self) -> None:
        driver = self.suspended()
        works = WorkList(lambda digest: 100, 10**6)
        before = works.of("c", [driver.state]).version
        driver.do(Reinstate("c", "ada"))

        after = works.of("c", [driver.state])

        assert after.version != before
        assert after.runs[0].suspension is None

    def test_the_status_says_who_took_part_and_who_is_set_aside(self) -> None:
        status = status_of(self.suspended().state, 1, {}, 0)

        (found,) = status.attendance
        assert (found.asked, found.answered, found.failed) == (3, 2, {"c": "out of memory"})
        assert (found.num_examples, found.unknown) == (20, ("c",))
        (suspensions,) = status.suspended
        assert (
            suspensions.site,
            suspensions.round_number,
            suspensions.reinstatement_round,
            suspensions.reinstatement_ms,
        ) == ("c", 1, 12, None)
        assert status.short_rounds == 0

    def test_a_fleet_that_does_not_answer_fits_into_a_message(self) -> None:
        fleet = tuple(f"site-{number:05}-{'x' * 52}" for number in range(10_000))
        driver = Driver("ab", rounds=9, cohort={"quorum": 0.5}).asked()
        driver.accept("a")
        driver.accept("b")
        found = driver.state.attendance.closed[1]
        crowded = replace(
            found,
            **{"failed": dict.fromkeys(fleet, "\x01" * 200), "idle": fleet, "unanswered": fleet},
            **{"suspended": fleet, "late": dict.fromkeys(fleet, 2**53)},
            data=Data(answered=1, missing=1, unknown=fleet[::2], tolerated=0.1),
        )
        attendance = replace(driver.state.attendance, closed=dict.fromkeys(range(1, 51), crowded))
        suspensions = dict.fromkeys(fleet, Suspension(1, 0, "it failed in round 1, train: " + "\x01" * 200))
        run = replace(
            driver.state,
            attendance=attendance,
            failure_record=FailureRecord(suspensions=SortedMap(suspensions)),
            **{"invited": SortedSet(fleet), "answers": SortedMap(dict.fromkeys(fleet[:9_000], True))},
            **{"taking_part": SortedSet(fleet[:9_000]), "unheard": SortedSet(fleet[9_000:])},
            reason="\x01" * 100_000,
        )

        status = status_of(run, 1, {}, 0)

        assert len(encode(status)) < MAX_MESSAGE
        assert status.population == 9_000
        assert status.answer_counts == {"accepted": 9_000, "awaited": 1_000}
        assert len(status.answers) == MOST_ANSWERS
        assert status.attendance[0].absent == 10_000
        assert len(status.attendance[0].failed) == 2 * MOST_ABSENT


class TestTouched:
    def test_those_who_are_asked_are(self) -> None:
        opened = ExchangeOpened(
            exchange=1, round_number=1, index=0, task="train", model=None, cohort=("a", "b"), needed=2
        )

        assert sites_to_wake([opened], None) == {"a", "b"}

    def test_a_close_touches_those_it_came_too_early_for(self) -> None:
        closed = ExchangeClosed(exchange=1, cause="grace", answered=("a",), failed=(), missing=("b",))

        assert sites_to_wake([closed], None) == {"b"}

    def test_what_a_site_has_said_itself_is_no_news_to_it(self) -> None:
        accepted = UpdateAccepted(exchange=1, site="a", num_examples=1, metrics={}, update=UPDATE)
        failed = TaskFailed(exchange=1, site="b", reason="no data")

        assert sites_to_wake([accepted, failed], None) == frozenset()

    def test_what_only_operators_see_touches_nobody(self) -> None:
        assert sites_to_wake([TaskStarted(exchange=1, site="a")], None) == frozenset()

    def test_a_commit_touches_those_whose_answer_it_does_not_wait_for(self) -> None:
        driver = Driver("ab").asked()
        driver.accept("a")
        committed = RoundCommitted(round_number=1, model=MODEL, metrics={})

        assert sites_to_wake([committed], driver.state) == {"b"}

    def test_the_rest_touches_everybody(self) -> None:
        assert sites_to_wake([RunFinished(rounds=1, model=MODEL, best_round=None)], None) is None


def test_the_work_of_a_site_is_found_at_the_same_cost_among_many_sites() -> None:
    costs = []
    for size in (8, 512):
        names = [f"site-{number:05}" for number in range(size)]
        run = Driver(names).asked().state
        works = WorkList(lambda digest: 1, 100)
        costs.append(calls(lambda works=works, run=run: works.of("site-00003", [run])))  # type: ignore[misc]

    few, many = costs
    assert many < few + 20, "the cost grows with the number of sites"


class TestStatus:
    def test_a_run_that_waits_for_answers_names_who_has_not_given_one(self) -> None:
        driver = Driver("ab")

        status = status_of(driver.state, 1, {"a": 990}, 1_000)

        assert [(w.site, w.task, w.connected) for w in status.awaited] == [
            ("a", None, True),
            ("b", None, False),
        ]
        assert status.awaited[0].deadline_ms == 500_000
        assert status.answers == {"a": "awaited", "b": "awaited"}

    def test_a_run_that_waits_for_acceptances_counts_them(self) -> None:
        driver = Driver("abcd", cohort={"minimum": 3, "approvals": 500, "absent": 60})
        driver.do(AnswerPlan("a", accepted=True))

        start = status_of(driver.state, 1, {"a": 10, "b": 10}, CONTACT_MS + 10).start

        assert start == StartWait(
            accepted=1,
            needed=3,
            asked=4,
            unanswered=3,
            until_ms=500_000,
            absent=("c", "d"),
            absent_count=2,
            absent_until_ms=60_000,
        )

    def test_absent_sites_are_awaited_until_the_run_starts_without_them(self) -> None:
        driver = Driver("abc", cohort={"minimum": 2, "approvals": 500, "absent": 60})
        for site in "ab":
            driver.do(AnswerPlan(site, accepted=True))

        (absent,) = status_of(driver.state, 1, {}, 0).awaited
        (connected,) = status_of(driver.state, 1, {"c": 1}, 1).awaited

        assert (absent.deadline_ms, connected.deadline_ms) == (60_000, 500_000)

    def test_a_run_that_has_started_waits_for_no_acceptance(self) -> None:
        assert status_of(Driver("ab").started().state, 1, {}, 0).start is None

    def test_a_silent_site_is_waited_for_where_too_few_can_answer_without_it(self) -> None:
        needed, spare = (
            Driver("ab", cohort={"quorum": quorum, "idle_limit": 30, "deadline": 100}).asked()
            for quorum in (1.0, 0.5)
        )
        for driver in (needed, spare):
            driver.do(Tick({(1, "b"): 30_000}), after_s=30)

        assert [(w.site, w.state, w.needed) for w in status_of(needed.state, 1, {}, 0).awaited] == [
            ("a", "idle", True),
            ("b", "assigned", True),
        ]
        assert [w.needed for w in status_of(spare.state, 1, {}, 0).awaited] == [False, True]

    def test_a_round_names_who_has_not_sent_a_result_and_since_when(self) -> None:
        driver = Driver("ab").asked()
        driver.now_ms = 5_000
        driver.accept("a")

        (awaited,) = status_of(driver.state, 1, {"b": 0}, CONTACT_MS).awaited

        assert (awaited.site, awaited.task, awaited.state, awaited.since_ms) == ("b", "train", "assigned", 0)
        assert (awaited.deadline_ms, awaited.connected) == (100_000, False)

    def test_a_run_that_is_over_awaits_nobody_and_says_why(self) -> None:
        driver = Driver("ab").asked()
        driver.do(Fail("workflow", "boom"))

        status = status_of(driver.state, 7, {}, 0)

        assert (status.phase, status.reason, status.awaited, status.events) == ("failed", "boom", (), 7)

    def test_rounds_are_counted_from_1_though_there_is_a_first_model(self) -> None:
        driver = Driver("a").in_round()
        driver.do(Commit(1, ModelRef("f" * 64), {"loss": 0.5}))

        status = status_of(driver.state, 1, {}, 0)

        assert (status.rounds_committed, status.model, dict(status.metrics)) == (
            1,
            ModelRef("f" * 64),
            {"loss": 0.5},
        )
        assert status_of(Driver("a").state, 1, {}, 0).rounds_committed == 0

    def test_a_status_of_a_fleet_fits_into_a_message(self) -> None:
        fleet = SortedSet(f"site-{number:05}" for number in range(100_000))
        run = replace(Driver("").state, invited=fleet, unheard=fleet, reason="too few; " * 10_000)

        status = status_of(run, 1, {}, 0)

        assert (len(status.awaited), len(status.answers)) == (MOST_AWAITED, MOST_ANSWERS)
        assert status.answer_counts == {"awaited": 100_000}
        assert len(encode(status)) < MAX_MESSAGE
